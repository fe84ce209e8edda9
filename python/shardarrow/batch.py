"""Arrow data as it is handed out: `Batch`, and `Table` for a whole read."""

from __future__ import annotations

import html
import importlib
from typing import TYPE_CHECKING, Any

from shardarrow.checkpoint import Position, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas
    import polars
    import pyarrow

    from shardarrow import _native


class Schema:
    """Names and types of columns. Anything that reads Arrow takes it through `__arrow_c_schema__`."""

    __slots__ = ("_native",)

    def __init__(self, native: _native.Schema) -> None:
        self._native = native

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return self._native.names

    @property
    def types(self) -> list[str]:
        """The columns' Arrow types in words, in order."""
        return self._native.types

    @property
    def metadata(self) -> dict[str, str]:
        """The schema's metadata; ``shardarrow.keys`` names the key attributes."""
        return self._native.metadata

    def __len__(self) -> int:
        return len(self._native)

    def __eq__(self, other: object) -> bool:
        return self._native == other._native if isinstance(other, Schema) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {kind}" for name, kind in zip(self.names, self.types, strict=True))
        return f"Schema({columns})"

    def _repr_html_(self) -> str:
        return _html("Schema", _schema_rows(self))


class Batch:
    """Rows in the order of the stream, and what they cover of which shards.

    pyarrow, polars, pandas, DuckDB and others take it as it is, through `__arrow_c_array__`. It stays
    valid after the stream is closed.
    """

    __slots__ = ("_native", "_owner")

    def __init__(self, native: _native.Batch, owner: object = None) -> None:
        self._native = native
        # The stream that handed it out, by identity: only that one can commit it.
        self._owner = owner

    @property
    def num_rows(self) -> int:
        """The number of rows, one per change."""
        return self._native.num_rows

    @property
    def num_columns(self) -> int:
        """The number of columns, those of metadata included."""
        return self._native.num_columns

    @property
    def schema(self) -> Schema:
        """The columns; a later batch of the stream may have more, or wider ones."""
        return Schema(self._native.schema)

    @property
    def spans(self) -> Mapping[str, Span]:
        """What the batch covers, by shard: behind `start`, up to and with `end`."""
        return {
            shard: Span(Position(*start, shard=shard), Position(*end, shard=shard))
            for shard, start, end in self._native.spans
        }

    @property
    def epoch(self) -> int:
        """Which snapshot the rows follow; it counts up when the table is read anew."""
        return self._native.epoch

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by the rows."""
        return self._native.nbytes

    def __len__(self) -> int:
        return self._native.num_rows

    def __arrow_c_schema__(self) -> object:
        return self._native.__arrow_c_schema__()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self._native.__arrow_c_array__(requested_schema)

    def to_pyarrow(self) -> pyarrow.RecordBatch:
        """The same rows as a `pyarrow.RecordBatch`, without a copy."""
        return _library("pyarrow", "arrow").record_batch(self)

    def to_polars(self) -> polars.DataFrame:
        """The same rows as a `polars.DataFrame`."""
        frame: polars.DataFrame = _library("polars", "polars").DataFrame(self)
        return frame

    def to_pandas(self) -> pandas.DataFrame:
        """The same rows as a `pandas.DataFrame`."""
        frame: pandas.DataFrame = _library("pandas", "pandas").DataFrame.from_arrow(self)
        return frame

    def __repr__(self) -> str:
        shards = len(self._native.spans)
        return f"Batch({self.num_rows} rows, {self.num_columns} columns, {_count(shards, 'shard')})"

    def _repr_html_(self) -> str:
        spans = ((shard, str(span)) for shard, span in self.spans.items())
        return _html(repr(self), _schema_rows(self.schema)) + _html("Spans", list(spans))


class Table:
    """What a whole read gave: one table with one schema.

    It exports `__arrow_c_stream__` any number of times. Beyond the read's `memory_limit` it rests in
    a temporary file that has no name and goes with the object.
    """

    __slots__ = ("_native",)

    def __init__(self, native: _native.Table) -> None:
        self._native = native

    @property
    def num_rows(self) -> int:
        """The number of rows."""
        return self._native.num_rows

    @property
    def num_columns(self) -> int:
        """The number of columns."""
        return len(self._native.schema)

    @property
    def schema(self) -> Schema:
        """The columns: the last schema reached, to which every row was brought."""
        return Schema(self._native.schema)

    @property
    def nbytes(self) -> int:
        """Bytes of memory held; what rests in the temporary file does not count."""
        return self._native.nbytes

    def __len__(self) -> int:
        return self._native.num_rows

    def __arrow_c_schema__(self) -> object:
        return self._native.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._native.__arrow_c_stream__(requested_schema)

    def to_pyarrow(self) -> pyarrow.Table:
        """The same rows as a `pyarrow.Table`."""
        return _library("pyarrow", "arrow").table(self)

    def to_polars(self) -> polars.DataFrame:
        """The same rows as a `polars.DataFrame`."""
        frame: polars.DataFrame = _library("polars", "polars").DataFrame(self)
        return frame

    def to_pandas(self) -> pandas.DataFrame:
        """The same rows as a `pandas.DataFrame`."""
        frame: pandas.DataFrame = _library("pandas", "pandas").DataFrame.from_arrow(self)
        return frame

    def __repr__(self) -> str:
        return f"Table({self.num_rows} rows, {self.num_columns} columns)"

    def _repr_html_(self) -> str:
        return _html(repr(self), _schema_rows(self.schema))


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name}: pip install 'shardarrow[{extra}]'", name=name) from error


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _schema_rows(schema: Schema) -> list[tuple[str, str]]:
    return list(zip(schema.names, schema.types, strict=True))


def _html(caption: str, rows: list[tuple[str, str]]) -> str:
    """A small table for notebooks: names and types, never values."""
    body = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table><caption>{html.escape(caption)}</caption><tbody>{body}</tbody></table>"
