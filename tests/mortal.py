"""Loads that get killed, and what a destination says about them afterwards.

Run as a script it is a load that kills itself with SIGKILL between the writing of its data and the
commit, or right behind the commit: ``python mortal.py SOURCE DESTINATION MODE PLACE NTH OPTIONS``, where
PLACE is before or after, NTH counts writes that have data and OPTIONS are those of `shardarrow.load` as JSON.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

import shardarrow
from services import Item
from shardarrow.demo.compare import differences
from shardarrow.loaders import duckdb as loader

WAIT = 60.0
"""Seconds for anything that is waited for. More than a busy machine needs."""


class MortalLoader(loader.DuckDBLoader):
    """Dies before the commit of its nth write with data, when the data is in the transaction, or after it."""

    place, left = "before", 0

    def write(self, batches: Any, *rest: Any) -> Any:
        self._has_data = bool(batches)
        return super().write(batches, *rest)

    def _commit(self, connection: Any) -> None:
        MortalLoader.left -= self._has_data
        if self.place == "before":
            self._die()
        super()._commit(connection)
        self._die()

    def _die(self) -> None:
        if self._has_data and self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Load:
    """A source and a file that it is loaded into, again and again, by processes that are killed."""

    def __init__(self, source: str, file: Path, *, table: str, mode: str, start: Callable[..., Any]) -> None:
        """`source` is a URL, `start` the fixture `start_process`."""
        self.source, self.file, self.table, self.mode = source, file, table, mode
        self._start = start
        self.kills = self.kills_before_commit = 0

    @property
    def destination(self) -> str:
        return f"duckdb:///{self.file}"

    def run_until_killed(self, seconds: float, *options: str, scanning: bool = False) -> None:
        """Runs the command; kills it when it has committed changes and `seconds` more have passed.

        With `scanning` they must be items of the scan.
        """
        progress = self.scanned if scanning else self.changes
        before = progress()
        process = self.command(*options)
        wait_until(lambda: progress() > before, process)
        # The moment of death is meant to be any moment, so this is no synchronisation.
        time.sleep(seconds)
        kill(process)
        self.kills += 1

    def run_until_it_dies(self, nth: int, place: str = "before", **options: Any) -> None:
        """Runs a load that dies before (or after) the commit of its nth write with data."""
        before = self.changes()
        script = [sys.executable, __file__, self.source, self.destination, self.mode, place, str(nth)]
        process = self._start(*script, json.dumps(options | {"table": self.table}))
        _, said = process.communicate(timeout=WAIT)
        assert process.returncode == -signal.SIGKILL, said
        assert (self.changes() > before) == (nth > 1 or place == "after")
        self.kills += 1
        self.kills_before_commit += place == "before"

    def finish(self, *options: str) -> None:
        """Loads what is left, and ends."""
        process = self.command("--once", *options)
        _, said = process.communicate(timeout=3 * WAIT)
        assert process.returncode == 0, said

    def command(self, *options: str) -> "subprocess.Popen[str]":
        """`shardarrow load`, running."""
        program = [Path(sys.executable).with_name("shardarrow"), "load", self.source, self.destination]
        return self._start(*program, "--table", self.table, "--mode", self.mode, *options)

    def changes(self) -> int:
        """How many changes are committed, by the destination's own count."""
        return self._saved("changes", 0)

    def scanned(self) -> int:
        """How many items of the scan are committed."""
        return self.snapshot().get("scanned", 0)

    def snapshot(self) -> dict[str, Any]:
        """What the checkpoint knows of the scan."""
        return json.loads(self._saved("checkpoint", "{}")).get("snapshot") or {}

    def _saved(self, column: str, nothing: Any) -> Any:
        if not self.file.exists():
            return nothing
        found = self.query(
            "SELECT table_name FROM duckdb_tables() WHERE table_name = '_shardarrow_checkpoints'"
        )
        saved = self.query(f"SELECT {column} FROM _shardarrow_checkpoints") if found else []
        return saved[0][0] if saved else nothing

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with reading(self.file) as connection:
            return connection.execute(sql).fetchall()

    def rows(self) -> list[dict[str, Any]]:
        """The table's rows in order of insertion, without the time of a change (which needs pytz)."""
        columns = "COLUMNS(lambda name: name <> '_time')"
        with reading(self.file) as connection:
            answer = connection.execute(f'SELECT {columns} FROM "{self.table}" ORDER BY rowid')
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

    def attributes(self) -> dict[str, str]:
        """Which attribute each column is for."""
        found = self.query("SELECT column_name, attribute FROM _shardarrow_columns")
        return dict(found)


def mirror_differences(load: Load, items: list[Item]) -> list[str]:
    """Every item, every attribute, every digit; and numbers that are text in their canonical form."""
    attributes = load.attributes()
    rows = [{attributes.get(name, name): cell for name, cell in row.items()} for row in load.rows()]
    found = differences(items, rows, key="id")
    if found:
        return found
    by_key = {row["id"]: row for row in rows}
    for item in items:
        row = by_key[item["id"]["S"]]
        numbers = {name: value["N"] for name, value in item.items() if "N" in value}
        for name, number in numbers.items():
            if isinstance(row[name], str) and row[name] != canonical(number):
                found.append(f"{row['id']}: {name} is {number} in the table and {row[name]} in the mirror")
    return found


def canonical(number: str) -> str:
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def kill(process: "subprocess.Popen[str]") -> None:
    """SIGKILL, of a process that has not ended by itself."""
    process.kill()
    _, said = process.communicate(timeout=WAIT)
    assert process.returncode == -signal.SIGKILL, said


def wait_until(happened: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Waits for what only the process can make happen; fails when it ends before that, or after a minute."""
    deadline = time.monotonic() + WAIT
    while not happened():
        if process.poll() is not None:
            raise AssertionError(f"it ended with {process.returncode}: {process.communicate()[1]}")
        assert time.monotonic() < deadline, "nothing happened for a minute"
        # Looking holds the file, so the loader has to wait meanwhile.
        time.sleep(0.05)


@contextmanager
def reading(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file, opened for reading between two commits of its loader."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            connection = duckdb.connect(str(file), read_only=True)
            break
        except duckdb.IOException:
            assert time.monotonic() < deadline, f"{file} was held for a minute"
            time.sleep(0.01)
    with connection:
        yield connection


def main(source: str, destination: str, mode: Any, place: str, nth: str, options: str) -> None:
    MortalLoader.place, MortalLoader.left = place, int(nth)
    loader.DuckDBLoader = MortalLoader  # type: ignore[misc]
    shardarrow.load(shardarrow.source(source), destination, mode=mode, **json.loads(options))


if __name__ == "__main__":
    main(*sys.argv[1:])
