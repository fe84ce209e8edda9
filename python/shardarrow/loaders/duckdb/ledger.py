"""What a destination remembers besides the data: the ``_shardarrow_*`` tables.

They stand in the schema ``main`` of the target's database, because DuckDB commits to one
database at a time and data and checkpoint must be one commit. Each table says which target
its rows belong to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shardarrow.errors import CheckpointBusyError, LoadError
from shardarrow.loaders.duckdb.sql import quoted, rows
from shardarrow.loaders.duckdb.target import Target

FORMAT = 1

_TABLES = {
    "_shardarrow_checkpoints": """(
        table_schema VARCHAR, table_name VARCHAR, format INTEGER NOT NULL, mode VARCHAR NOT NULL,
        checkpoint VARCHAR NOT NULL, changes BIGINT NOT NULL, writer VARCHAR NOT NULL, writes BIGINT NOT NULL,
        saved_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (table_schema, table_name))""",
    "_shardarrow_columns": """(
        table_schema VARCHAR, table_name VARCHAR, attribute VARCHAR, column_name VARCHAR NOT NULL,
        PRIMARY KEY (table_schema, table_name, attribute))""",
    "_shardarrow_gaps": "(table_schema VARCHAR, table_name VARCHAR, found_at TIMESTAMPTZ, gap VARCHAR)",
    "_shardarrow_quarantine": """(
        table_schema VARCHAR, table_name VARCHAR, found_at TIMESTAMPTZ,
        shard VARCHAR, sequence VARCHAR, reason VARCHAR, record BLOB)""",
}


@dataclass(frozen=True)
class Entry:
    """One target's row among the checkpoints."""

    schema: str
    name: str
    mode: str
    checkpoint: str
    changes: int
    """Changes and scanned items loaded since the beginning, over all runs."""
    writer: str
    writes: int
    saved_at: float
    """Seconds since 1970."""


class Ledger:
    """The rows of one target, read and written inside the caller's transaction."""

    def __init__(self, connection: Any, target: Target) -> None:
        self._connection = connection
        self._target = target
        self._mine = [target.schema, target.name]

    def entry(self) -> Entry | None:
        """The target's checkpoint, or None when there is none."""
        for entry in entries(self._connection, self._target.database):
            if self._target.is_called(entry.schema, entry.name):
                return entry
        return None

    def create(self) -> None:
        """Makes the tables, and forgets what a target of the same name left behind."""
        for table, definition in _TABLES.items():
            self._run(f"CREATE TABLE IF NOT EXISTS {self._at(table)} {definition}")
            self._run(f"DELETE FROM {self._at(table)} WHERE table_schema = ? AND table_name = ?", self._mine)

    def require(self, expected: Entry | None) -> None:
        """Holds the transaction to what this loader last saw.

        Raises:
            CheckpointBusyError: somebody else wrote in between, so these changes may already be in.
        """
        found = self.entry()
        if expected is None and found is None:
            return
        if not (expected and found and (expected.writer, expected.writes) == (found.writer, found.writes)):
            raise CheckpointBusyError(
                f"another loader has written to table {self._target.label} since this one began: "
                "run one loader for a table, then start again"
            )

    def save(self, entry: Entry) -> None:
        """Writes the target's checkpoint over the one before."""
        values = [
            FORMAT,
            entry.mode,
            entry.checkpoint,
            entry.changes,
            entry.writer,
            entry.writes,
            entry.saved_at,
        ]
        self._run(
            f"INSERT OR REPLACE INTO {self._at('_shardarrow_checkpoints')} "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, to_timestamp(?))",
            self._mine + values,
        )

    def names(self) -> dict[str, str]:
        """Which column each attribute has."""
        known = rows(
            self._connection,
            f"SELECT attribute, column_name FROM {self._at('_shardarrow_columns')} "
            "WHERE table_schema = ? AND table_name = ?",
            self._mine,
        )
        return dict(known)

    def add_name(self, attribute: str, column: str) -> None:
        """Remembers an attribute's column for good."""
        self._run(
            f"INSERT INTO {self._at('_shardarrow_columns')} VALUES (?, ?, ?, ?)",
            [*self._mine, attribute, column],
        )

    def add_gaps(self, gaps: Iterable[str], at: float) -> None:
        """Adds gaps, as JSON."""
        for gap in gaps:
            self._run(
                f"INSERT INTO {self._at('_shardarrow_gaps')} VALUES (?, ?, to_timestamp(?), ?)",
                [*self._mine, at, gap],
            )

    def add_quarantined(self, records: Iterable[tuple[str, str | None, bytes, str]], at: float) -> None:
        """Adds records that could not be decoded, as they came."""
        for shard, sequence, raw, reason in records:
            self._run(
                f"INSERT INTO {self._at('_shardarrow_quarantine')} "
                "VALUES (?, ?, to_timestamp(?), ?, ?, ?, ?)",
                [*self._mine, at, shard, sequence, reason, bytes(raw)],
            )

    def count(self, table: str) -> int:
        """How many rows of one of these tables are the target's."""
        counted = f"SELECT count(*) FROM {self._at(table)} WHERE table_schema = ? AND table_name = ?"
        return int(rows(self._connection, counted, self._mine)[0][0])

    def _at(self, table: str) -> str:
        return place(self._target.database, table)

    def _run(self, sql: str, values: list[Any] | None = None) -> None:
        rows(self._connection, sql, values or [])


def place(database: str, table: str) -> str:
    """SQL of one of these tables."""
    return f'{quoted(database)}."main".{quoted(table)}'


def entries(connection: Any, database: str) -> list[Entry]:
    """Every checkpoint in the database.

    Raises:
        LoadError: a newer version wrote them.
    """
    known = rows(
        connection,
        "SELECT 1 FROM duckdb_tables() WHERE database_name = ? AND schema_name = 'main' "
        "AND table_name = '_shardarrow_checkpoints'",
        [database],
    )
    if not known:
        return []
    found = rows(
        connection,
        "SELECT format, table_schema, table_name, mode, checkpoint, changes, writer, writes, epoch(saved_at) "
        f"FROM {place(database, '_shardarrow_checkpoints')} ORDER BY table_schema, table_name",
    )
    for row in found:
        if row[0] != FORMAT:
            raise LoadError(
                f"the checkpoint of table {row[2]} has format {row[0]} but this version reads {FORMAT}: "
                "use the version that wrote it"
            )
    return [Entry(*row[1:]) for row in found]
