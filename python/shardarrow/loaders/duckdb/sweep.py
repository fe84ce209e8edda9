"""After the table was scanned anew: what the scan did not see leaves the mirror, once it has seen everything.

Items that were deleted while changes were lost are in neither the new scan nor the stream. So
while the snapshot of a later epoch is not complete, a table beside the mirror holds the keys that
this epoch's rows say are there. It is kept in the transactions of the data, so it is true whenever
the process is killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shardarrow.errors import LoadError
from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.layout import Layout
from shardarrow.loaders.duckdb.sql import changed, column_list, quoted, rows
from shardarrow.loaders.duckdb.staging import keep_pace
from shardarrow.loaders.duckdb.target import Target

_PREFIX = "_shardarrow_seen_"


class Sweep:
    """The keys seen in one epoch, and the sweep that follows from them.

    The table is a set: no key stands in it twice. Its columns are the mirror's key columns, of
    the same types. It has no index, because a write reads it whole either way.
    """

    def __init__(self, connection: Any, target: Target, layout: Layout, keys: Sequence[str]) -> None:
        """`layout` fits what this write brings already."""
        self._connection = connection
        self._target = target
        self._seen = _beside(target)
        self._kinds = {layout.names[key]: layout.kinds[layout.names[key]] for key in keys}

    def begin(self) -> None:
        """Nothing was seen yet in this epoch; what another one saw is forgotten."""
        columns = ", ".join(f"{quoted(column)} {kind.sql}" for column, kind in self._kinds.items())
        self._run(f"CREATE OR REPLACE TABLE {self._seen.sql} ({columns})")

    def go_on(self) -> None:
        """Goes on with what earlier writes of this epoch saw; key columns widen with the mirror's.

        Raises:
            LoadError: it is gone. Without it every row of the mirror would seem unseen.
        """
        if not catalog.exists(self._connection, self._seen):
            raise LoadError(
                f"{self._seen.label} is gone, and without it nobody knows which rows of {self._target.label} "
                "are out of date: restore it, or load into another table="
            )
        keep_pace(self._connection, self._seen, self._kinds)

    def note(self, staged: str, key_columns: Sequence[str], epoch: int) -> None:
        """Takes over the last row of each key staged, as far as it is of the epoch.

        `key_columns` are the staged names of the keys. Rows of earlier epochs say nothing about what
        this one's scan will see. They only come in the write in which this epoch begins, when there
        is nothing yet that they could take away.
        """
        pairs = zip(self._kinds, key_columns, strict=True)
        same = " AND ".join(f"seen.{quoted(column)} = staged.{name}" for column, name in pairs)
        self._run(f"DELETE FROM {self._seen.sql} AS seen USING {staged} AS staged WHERE {same}")
        self._run(
            f"INSERT INTO {self._seen.sql} ({column_list(list(self._kinds))}) "
            f"SELECT {', '.join(key_columns)} FROM {staged} WHERE epoch = {epoch} AND NOT removed"
        )

    def note_scanned(self, staged: str, key_columns: Sequence[str], epoch: int) -> None:
        """Takes over the keys of the items scanned in the epoch; changes are known elsewhere."""
        pairs = zip(self._kinds, key_columns, strict=True)
        same = " AND ".join(f"seen.{quoted(column)} = staged.{name}" for column, name in pairs)
        keys = ", ".join(f"staged.{name}" for name in key_columns)
        self._run(
            f"INSERT INTO {self._seen.sql} ({column_list(list(self._kinds))}) "
            f"SELECT DISTINCT {keys} FROM {staged} AS staged ANTI JOIN {self._seen.sql} AS seen ON {same} "
            f"WHERE scanned AND epoch = {epoch}"
        )

    def finish(self, *others: Target) -> int:
        """Deletes what the complete snapshot did not see from the mirror, and says how many rows.

        A key that stands in one of `others` stays.
        """
        same = " AND ".join(f"seen.{quoted(column)} = mirror.{quoted(column)}" for column in self._kinds)
        unseen = " AND ".join(
            f"NOT EXISTS (SELECT 1 FROM {table.sql} AS seen WHERE {same})" for table in (self._seen, *others)
        )
        swept = changed(self._connection, f"DELETE FROM {self._target.sql} AS mirror WHERE {unseen}")
        self._run(f"DROP TABLE {self._seen.sql}")
        return swept

    def _run(self, sql: str) -> None:
        rows(self._connection, sql)


def forget(connection: Any, target: Target) -> None:
    """Drops what a target of the same name may have left behind."""
    rows(connection, f"DROP TABLE IF EXISTS {_beside(target).sql}")


def _beside(target: Target) -> Target:
    """The table of seen keys. In the target's own schema its name is the target's alone."""
    return Target(target.database, target.schema, _PREFIX + target.name)
