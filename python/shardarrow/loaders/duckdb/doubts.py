"""What a channel that repeats and reorders changes cannot promise, and what it could not put in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.sql import column_list, rows
from shardarrow.loaders.duckdb.target import Target

VERSIONS = "_shardarrow_versions_"
CHANNELS = "_shardarrow_channels"


@dataclass(frozen=True)
class Doubts:
    """What the channel could not put in order, over all loads."""

    ties: int
    """Keys with changes of the same moment whose order nobody can tell."""
    late: int
    """Changes that came when their versions were forgotten already."""
    retention: float
    """For how long versions are kept, in seconds."""

    def sentences(self) -> list[str]:
        """For the report and for `status`."""
        hours = f"{self.retention / 3600:,.0f} hours"
        late = f": {self.late:,} did so" if self.late else ""
        said = [
            "changes came through Kinesis, into which DynamoDB does not write items that are too large for "
            "it (its metric FailedToReplicateRecordCount counts them)",
            f"changes that came more than {hours} after they were made may stand in the wrong order{late}",
        ]
        if self.ties:
            said.append(f"the order of changes of the same moment is not known for {self.ties:,} keys")
        return said


def doubts(connection: Any, target: Target) -> Doubts | None:
    """What a target's channel could not put in order; None for one whose changes come in order."""
    channels = Target(target.database, "main", CHANNELS)
    if not catalog.exists(connection, channels):
        return None
    known = rows(
        connection,
        f"SELECT ties, late, retention FROM {channels.sql} WHERE table_schema = ? AND table_name = ?",
        [target.schema, target.name],
    )
    if not known:
        return None
    [(ties, late, retention)] = known
    return Doubts(ties + _open_ties(connection, target), late, retention)


def _open_ties(connection: Any, target: Target) -> int:
    versions = Target(target.database, target.schema, VERSIONS + target.name)
    if not catalog.exists(connection, versions):
        return 0
    keys = [c for c in catalog.columns(connection, versions) if not c.startswith("_shardarrow_")]
    counted = f"SELECT count(DISTINCT ({column_list(keys)})) FROM {versions.sql} WHERE _shardarrow_contested"
    return int(rows(connection, counted)[0][0])
