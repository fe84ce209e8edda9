"""`shardarrow status`: what a checkpoint or a destination remembers, and how far it is behind."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shardarrow import _native
from shardarrow.cli.arguments import add_common
from shardarrow.cli.screen import Screen
from shardarrow.cli.values import as_json, span
from shardarrow.errors import UsageError
from shardarrow.loaders import saved
from shardarrow.loaders.report import counted
from shardarrow.loaders.snapshot import Snapshot, incomplete


@dataclass(frozen=True)
class Found:
    """One checkpoint, wherever it is kept."""

    name: str
    """The consumer's name in a checkpoint file, or the table in a destination."""
    mode: str
    """`mirror` or `append` in a destination, empty in a checkpoint file."""
    checkpoint: Mapping[str, Any]
    changes: int | None
    gaps: int
    quarantined: int
    saved_at: float
    notes: Sequence[str] = ()
    """What a reader of the destination has to know besides, in sentences."""

    @property
    def snapshot(self) -> Snapshot | None:
        """How far the scan of the table is; None when the stream did not start with one."""
        return Snapshot.of(self.checkpoint)

    @property
    def verified(self) -> float | None:
        """Up to when (seconds since 1970, the service's clock) nothing can be missing, if that is known."""
        unfinished = [shard for shard in self.checkpoint["shards"].values() if shard.get("finished") is None]
        moments = [shard.get("verified") for shard in unfinished]
        return min(moments) / 1000 if moments and None not in moments else None


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "status", help="show what a checkpoint or a destination remembers, and how far it is behind"
    )
    parser.add_argument(
        "place", metavar="CHECKPOINT_OR_DESTINATION", help="a checkpoint file, or duckdb:///FILE"
    )
    parser.add_argument("--as-json", action="store_true", help="each checkpoint a JSON object")
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Looks without holding or changing anything."""
    found = list(find(arguments.place))
    for one in found:
        screen.say(_object(one) if arguments.as_json else "\n".join(lines(one, time.time())))
    if not found:
        screen.note(f"{arguments.place} has no checkpoint")
    return 0


def find(place: str) -> Iterator[Found]:
    """Every checkpoint of a file or a destination.

    Raises:
        UsageError: There is no such file.
        ShardArrowError: It cannot be read.
    """
    if "://" in place:
        yield from _in_destination(place)
    elif not Path(place).is_file():
        raise UsageError(
            f"there is no file {place!r}; name a checkpoint file or a URL such as duckdb:///shop.duckdb"
        )
    elif _is_duckdb(Path(place)):
        yield from _in_destination(f"duckdb:///{quote(place)}")
    else:
        yield from _in_file(place)


def _is_duckdb(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(12)[8:] == b"DUCK"


def _in_destination(url: str) -> Iterator[Found]:
    for one in saved(url):
        checkpoint = json.loads(one.checkpoint)
        counts = (one.changes, one.gaps, one.quarantined)
        yield Found(one.table, one.mode, checkpoint, *counts, one.saved_at, one.notes)


def _in_file(path: str) -> Iterator[Found]:
    for name, checkpoint, saved_at, gaps, quarantined in _native.inspect_checkpoints(path):
        yield Found(name, "", json.loads(checkpoint), None, len(gaps), quarantined, saved_at / 1000)


def lines(found: Found, now: float) -> Iterator[str]:
    """What to know about one checkpoint."""
    checkpoint = found.checkpoint
    yield f"{found.name}: {checkpoint['table']}" + (f" ({found.mode})" if found.mode else "")
    yield f"  stream       {checkpoint['stream_arn']}"
    yield f"  started at   {checkpoint['start']}, epoch {checkpoint['epoch']}"
    if found.snapshot:
        yield f"  snapshot     {found.snapshot.summary}"
    if found.changes is not None:
        yield f"  loaded       {counted(found.changes, 'row' if found.snapshot else 'change')}"
    yield f"  saved        {span(now - found.saved_at)} ago"
    yield f"  lag          {_lag(found, now)}"
    yield f"  shards       {_shards(checkpoint['shards'])}"
    yield f"  columns      {counted(len(checkpoint['schema']['columns']), 'attribute')}"
    if found.gaps:
        yield f"  gaps         {found.gaps:,}: changes are known to be lost"
    if found.quarantined:
        yield f"  quarantined  {counted(found.quarantined, 'record')}"
    if warning := incomplete(found.mode, checkpoint["start"], found.snapshot):
        yield f"  {warning}"
    yield from (f"  {note}" for note in found.notes)


def _lag(found: Found, now: float) -> str:
    if found.snapshot and not found.snapshot.ready:
        return "unknown: the snapshot is not complete yet"
    if found.verified is None:
        return "unknown: some shard was not read up to its end yet"
    return f"{span(now - found.verified)}: every change older than that is in"


def _shards(shards: Mapping[str, Any]) -> str:
    finished = sum(shard.get("finished") is not None for shard in shards.values())
    return f"{len(shards) - finished:,} being read, {finished:,} finished"


def _object(found: Found) -> str:
    return as_json(
        {
            "name": found.name,
            "mode": found.mode or None,
            "table": found.checkpoint["table"],
            "stream_arn": found.checkpoint["stream_arn"],
            "start": found.checkpoint["start"],
            "from_snapshot": found.snapshot is not None,
            "epoch": found.checkpoint["epoch"],
            "snapshot": asdict(found.snapshot) if found.snapshot else None,
            "changes": found.changes,
            "saved_at": found.saved_at,
            "verified_at": found.verified,
            "gaps": found.gaps,
            "quarantined": found.quarantined,
            "shards": found.checkpoint["shards"],
            "notes": list(found.notes),
        }
    )
