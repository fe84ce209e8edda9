"""Tables as files: CSV, JSON lines, Arrow IPC and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from shardarrow.cli.values import json_lines, plain
from shardarrow.errors import UsageError


def pyarrow(module: str = "pyarrow") -> Any:
    """The package that reads Arrow here.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError("this command needs pyarrow: pip install 'shardarrow[arrow]'") from error


def writer_for(out: Path) -> Callable[[Any], None]:
    """What writes a pyarrow table to this file, in the format its ending says.

    Raises:
        UsageError: The ending says none.
    """
    write = _FORMATS.get(out.suffix.lower())
    if write is None:
        raise UsageError(f"OUT {str(out)!r} must end in one of {', '.join(_FORMATS)}")
    return lambda table: _whole(out, lambda part: write(table, part))


def _whole(out: Path, write: Callable[[Path], None]) -> None:
    """The file appears when it is complete: an old one stays as it is until then."""
    part = out.with_name(f"{out.name}.part")
    try:
        write(part)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


def csv_lines(table: Any) -> Iterator[str]:
    """A head and one line per row; a value with a line break keeps it, in quotes."""
    buffer = io.StringIO()
    sheet = csv.writer(buffer, lineterminator="")
    for row in _csv_rows(table):
        sheet.writerow(row)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _csv_rows(table: Any) -> Iterator[list[str]]:
    yield list(table.column_names)
    for batch in table.to_batches():
        for row in batch.to_pylist():
            yield [plain(value) for value in row.values()]


def _csv(table: Any, part: Path) -> None:
    _lines(csv_lines(table), part)


def _json(table: Any, part: Path) -> None:
    _lines((line for batch in table.to_batches() for line in json_lines(batch)), part)


def _lines(lines: Iterator[str], part: Path) -> None:
    with part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _arrow(table: Any, part: Path) -> None:
    with (
        pyarrow().OSFile(str(part), "wb") as file,
        pyarrow("pyarrow.ipc").new_file(file, table.schema) as sink,
    ):
        sink.write_table(table)


def _parquet(table: Any, part: Path) -> None:
    pyarrow("pyarrow.parquet").write_table(table, part)


_FORMATS: dict[str, Callable[[Any, Path], None]] = {
    ".csv": _csv,
    ".jsonl": _json,
    ".ndjson": _json,
    ".arrow": _arrow,
    ".parquet": _parquet,
}
