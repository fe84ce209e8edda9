"""The batches of one write as DuckDB sees them: which columns they bring, and the SQL that reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from shardarrow.errors import LoadError
from shardarrow.loaders.duckdb.types import NULL, Kind, converted, kind_of, wider

_VIEW = "shardarrow_batch"


class Arrival:
    """One batch. Its columns are read by place, because DuckDB renames those that differ only in case."""

    def __init__(self, connection: Any, batch: Any, keys: Sequence[str]) -> None:
        self._connection = connection
        self._batch = batch
        self._names: list[str] = list(batch.schema.names)
        self._first_key = _first_key(self._names, keys)
        with self.readable():
            types = connection.sql(f"FROM {_VIEW} LIMIT 0").types
        self.kinds: dict[str, Kind] = {
            name: kind_of(type_, name) for name, type_ in zip(self._names, types, strict=True)
        }

    @property
    def view(self) -> str:
        """SQL of the rows, their columns called ``c0``, ``c1``, … ; valid while ``readable``."""
        places = ", ".join(f"c{place}" for place in range(len(self._names)))
        return f"{_VIEW} AS batch({places})"

    @property
    def removed(self) -> str:
        """SQL that says whether a row removes its key. ``_op`` is the first column under any prefix."""
        return "c0 = 'remove'"

    def metadata(self, name: str) -> str:
        """SQL of the metadata column with this name, under any prefix; NULL when the batch has none."""
        named = self._names[0].removesuffix("op") + name
        return f"c{self._names.index(named)}" if named in self._names[: self._first_key] else "NULL"

    @property
    def epoch(self) -> int:
        """Which snapshot the rows follow, or are part of."""
        return int(self._batch.epoch)

    @property
    def image(self) -> dict[str, Kind]:
        """What a mirror keeps: the keys, the other attributes and the rest."""
        old = self._names[0].removesuffix("op") + "old"
        return {name: self.kinds[name] for name in self._names[self._first_key :] if name != old}

    def value(self, attribute: str, target: Kind) -> str:
        """SQL of an attribute as ``target``; NULL when this batch is older than the attribute."""
        kind = self.kinds.get(attribute, NULL)
        place = f"c{self._names.index(attribute)}" if attribute in self.kinds else "NULL"
        return converted(place, kind, target)

    @contextmanager
    def readable(self) -> Iterator[None]:
        """While it lasts, `view` can be queried on the connection."""
        self._connection.register(_VIEW, self._batch)
        try:
            yield
        finally:
            self._connection.unregister(_VIEW)


def _first_key(names: Sequence[str], keys: Sequence[str]) -> int:
    places = [names.index(key) for key in keys if key in names]
    if len(places) != len(keys):
        raise LoadError(
            f"the batches have no column for key {' and '.join(map(repr, keys))}: "
            "a mirror needs the attributes as columns; load without images='json', or with mode='append'"
        )
    return min(places, default=0)


def merged_kinds(arrivals: Sequence[Arrival], *, whole: bool) -> dict[str, Kind]:
    """The columns of all batches in order of appearance, each as wide as the widest.

    ``whole`` takes the metadata too.
    """
    merged: dict[str, Kind] = {}
    for arrival in arrivals:
        for name, kind in (arrival.kinds if whole else arrival.image).items():
            both = wider(merged.get(name, kind), kind)
            if both is None:
                raise LoadError(
                    f"attribute {name!r} arrives as {merged[name].sql} and as {kind.sql}, "
                    "which no column can hold"
                )
            merged[name] = both
    return merged
