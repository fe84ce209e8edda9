"""What a channel that repeats and reorders changes cannot promise, and what it could not put in order."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.ledger import place
from shardarrow.loaders.duckdb.sql import column_list, rows
from shardarrow.loaders.duckdb.target import Target

VERSIONS = "_shardarrow_versions_"
TIES = "_shardarrow_ties_"
CHANNELS = "_shardarrow_channels"
_MINE = "WHERE table_schema = ? AND table_name = ?"
_COLUMNS = {
    "epoch": "BIGINT",
    "newest": "BIGINT",
    "pruned": "BIGINT",
    "ties": "BIGINT",
    "late": "BIGINT",
    "left_out": "BIGINT",
    "since": "BIGINT",
    "retention": "DOUBLE",
}


@dataclass(frozen=True)
class Doubts:
    """What the channel could not put in order, over all loads."""

    ties: int
    """Keys with changes of the same moment whose order nobody can tell."""
    late: int
    """Changes that came when their versions were forgotten already."""
    retention: float
    """For how long versions are kept, in seconds."""
    since: int
    """Changes made before this moment, in microseconds since 1970, are not taken: the scan has them."""
    left_out: int
    """Changes that were not taken for that reason."""

    def sentences(self) -> list[str]:
        """For the report and for `status`."""
        hours = f"{self.retention / 3600:,.0f} hours"
        late = f": {self.late:,} did so" if self.late else ""
        said = [
            "changes came through Kinesis, into which DynamoDB does not write items that are too large for "
            "it (its metric FailedToReplicateRecordCount counts them)",
            f"changes that came more than {hours} after they were made may stand in the wrong order{late}",
        ]
        if self.left_out:
            since = datetime.datetime.fromtimestamp(self.since / 1_000_000, datetime.UTC)
            said.append(
                f"{self.left_out:,} changes made before {since:%Y-%m-%d %H:%M:%S} UTC were left out: "
                "the snapshot has what they did"
            )
        if self.ties:
            said.append(f"the order of changes of the same moment is not known for {self.ties:,} keys")
        return said


class Account:
    """One target's row among the channels, in the caller's transaction."""

    def __init__(self, connection: Any, target: Target) -> None:
        self._connection = connection
        self._table = place(target.database, CHANNELS)
        self._mine = [target.schema, target.name]

    def open(self) -> None:
        """A new row."""
        columns = ", ".join(f"{column} {kind}" for column, kind in _COLUMNS.items())
        self._run(
            f"CREATE TABLE IF NOT EXISTS {self._table} (table_schema VARCHAR, table_name VARCHAR, {columns})"
        )
        self.close()
        self._run(f"INSERT INTO {self._table} VALUES (?, ?{', 0' * len(_COLUMNS)})", self._mine)

    def close(self) -> None:
        """There is no row any more."""
        self._run(f"DELETE FROM {self._table} {_MINE}", self._mine)

    def read(self, column: str) -> Any:
        """What the row has in a column."""
        [(value,)] = rows(self._connection, f"SELECT {column} FROM {self._table} {_MINE}", self._mine)
        return value

    def set(self, **values: float) -> None:
        """Writes columns of the row."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._run(f"UPDATE {self._table} SET {columns} {_MINE}", [*values.values(), *self._mine])

    def doubts(self) -> Doubts | None:
        """What the row counts; None when there is none."""
        columns = "ties, late, retention, since, left_out"
        found = rows(self._connection, f"SELECT {columns} FROM {self._table} {_MINE}", self._mine)
        return Doubts(*found[0]) if found else None

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        rows(self._connection, sql, values)


def doubts(connection: Any, target: Target) -> Doubts | None:
    """What a target's channel could not put in order; None for one whose changes come in order."""
    if not catalog.exists(connection, Target(target.database, "main", CHANNELS)):
        return None
    known = Account(connection, target).doubts()
    return known and replace(known, ties=known.ties + _open_ties(connection, target))


def forget(connection: Any, target: Target) -> None:
    """Drops what a target of the same name may have left behind."""
    if catalog.exists(connection, Target(target.database, "main", CHANNELS)):
        Account(connection, target).close()
    for prefix in (VERSIONS, TIES):
        beside = Target(target.database, target.schema, prefix + target.name)
        rows(connection, f"DROP TABLE IF EXISTS {beside.sql}")


def _open_ties(connection: Any, target: Target) -> int:
    versions = Target(target.database, target.schema, VERSIONS + target.name)
    if not catalog.exists(connection, versions):
        return 0
    keys = [c for c in catalog.columns(connection, versions) if not c.startswith("_shardarrow_")]
    counted = f"SELECT count(DISTINCT ({column_list(keys)})) FROM {versions.sql} WHERE _shardarrow_contested"
    return int(rows(connection, counted)[0][0])
