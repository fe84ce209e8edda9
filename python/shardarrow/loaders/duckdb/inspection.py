"""Looking at what loads have left in a database, without loading."""

from __future__ import annotations

import time
from typing import Any

from shardarrow.errors import LoadError
from shardarrow.loaders.base import Saved
from shardarrow.loaders.duckdb.destination import destination, first_line, library
from shardarrow.loaders.duckdb.doubts import doubts
from shardarrow.loaders.duckdb.ledger import Entry, Ledger, entries
from shardarrow.loaders.duckdb.sql import rows
from shardarrow.loaders.duckdb.target import Target


def saved_in(where: Any, lock_timeout: float) -> list[Saved]:
    """Every table that was loaded into the database.

    Raises:
        LoadError: There is no such file, it cannot be read, or it is held for longer than `lock_timeout`.
    """
    place = destination(where)
    if place.is_new:
        raise LoadError(f"{place.label} does not exist")
    with place.connected(time.monotonic() + lock_timeout) as connection:
        try:
            [(database,)] = rows(connection, "SELECT current_database()")
            return [_saved(connection, database, entry) for entry in entries(connection, database)]
        except library().Error as error:
            raise LoadError(f"cannot read {place.label}: {first_line(error)}") from error


def _saved(connection: Any, database: str, entry: Entry) -> Saved:
    target = Target(database, entry.schema, entry.name)
    ledger = Ledger(connection, target)
    doubtful = doubts(connection, target)
    return Saved(
        table=target.label,
        mode=entry.mode,
        checkpoint=entry.checkpoint,
        changes=entry.changes,
        gaps=ledger.count("_shardarrow_gaps"),
        quarantined=ledger.count("_shardarrow_quarantine"),
        saved_at=entry.saved_at,
        notes=doubtful.sentences() if doubtful else (),
    )
