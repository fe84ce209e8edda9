"""Looks into a checkpoint file without holding it; the store itself is the core's."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shardarrow.errors import CheckpointCorruptError, CheckpointStoreError

# "shrd", in the header of every checkpoint file.
_APPLICATION_ID = 0x73687264
_VERSION = 1


@dataclass(frozen=True)
class Consumer:
    """What the file remembers of one consumer."""

    name: str
    checkpoint: str
    """JSON."""
    saved_at: float
    """Seconds since 1970, by the clock of the machine that wrote it."""
    gaps: int
    quarantined: int


def consumers(path: Path) -> list[Consumer]:
    """Every consumer in the file, at one moment.

    Raises:
        CheckpointCorruptError: It is not a checkpoint file of this version, or it is damaged.
        CheckpointStoreError: It cannot be opened.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            _require_ours(file, path)
            return list(_consumers(file))
    except sqlite3.OperationalError as error:
        raise CheckpointStoreError(f"cannot read the checkpoint file {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise CheckpointCorruptError(f"{path} is not a checkpoint file, or it is damaged: {error}") from error


def _require_ours(file: sqlite3.Connection, path: Path) -> None:
    [(application,)] = file.execute("PRAGMA application_id").fetchall()
    [(version,)] = file.execute("PRAGMA user_version").fetchall()
    if application != _APPLICATION_ID:
        raise CheckpointCorruptError(f"{path} is an SQLite file, but not a checkpoint file")
    if version != _VERSION:
        raise CheckpointCorruptError(
            f"the checkpoint file {path} has version {version} but this one reads version {_VERSION}; "
            "use the version of shardarrow that wrote it"
        )


def _consumers(file: sqlite3.Connection) -> Iterator[Consumer]:
    rows = file.execute(
        """SELECT name, state, saved / 1000.0,
                  (SELECT count(*) FROM gap WHERE gap.name = checkpoint.name),
                  (SELECT count(*) FROM quarantine WHERE quarantine.name = checkpoint.name)
           FROM checkpoint ORDER BY name"""
    )
    for row in rows:
        yield Consumer(*row)
