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
from pathlib import Path
from typing import Any

import duckdb

import shardarrow
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

    def run_until_killed(self, seconds: float, *options: str) -> None:
        """Runs the command; kills it when it has committed changes and `seconds` more have passed."""
        before = self.changes()
        process = self.command(*options)
        wait_until(lambda: self.changes() > before, process)
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
        if not self.file.exists():
            return 0
        found = self.query(
            "SELECT table_name FROM duckdb_tables() WHERE table_name = '_shardarrow_checkpoints'"
        )
        counts = self.query("SELECT changes FROM _shardarrow_checkpoints") if found else []
        return counts[0][0] if counts else 0

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
