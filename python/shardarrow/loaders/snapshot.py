"""What a checkpoint says about the scan of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Segment:
    """How far one segment of the scan is."""

    scanned: int
    """Items."""
    done: bool


@dataclass(frozen=True)
class Snapshot:
    """How far the scan of one epoch is."""

    epoch: int
    """1 for the first scan of the table, larger for each that replaces it."""
    ready: bool
    """Everything the scan saw, and every change made up to its end, is loaded."""
    scanned: int
    """Items scanned so far."""
    items: int | None
    """About how many there are, by the service's own count, which is up to six hours old."""
    segments: int
    segments_done: int
    slices: int
    """Turns of scanning begun; between them the stream is drained."""
    by_segment: tuple[Segment, ...] = ()
    """Each segment by its number."""

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any]) -> Snapshot | None:
        """That of a checkpoint, or None when its stream did not start with a snapshot.

        It may not have begun: between the decision to scan the table and the first request to do so
        a checkpoint says nothing of segments.
        """
        epoch, state = checkpoint["epoch"], checkpoint.get("snapshot")
        if state is None:
            due = epoch > 1 or checkpoint["start"] == "snapshot"
            return cls(epoch, False, 0, None, 0, 0, 0) if due else None
        return cls(
            epoch=epoch,
            ready=state["ready"],
            scanned=state["scanned"],
            items=state["items"],
            segments=len(state["segments"]),
            segments_done=sum(segment["done"] for segment in state["segments"]),
            slices=state["slices"],
            by_segment=tuple(Segment(one.get("scanned", 0), one["done"]) for one in state["segments"]),
        )

    @property
    def name(self) -> str:
        """The first is just the snapshot."""
        return "snapshot" if self.epoch == 1 else f"snapshot of epoch {self.epoch}"

    @property
    def summary(self) -> str:
        """How far it is, in words."""
        if self.ready:
            return f"ready: {scanned_of(self.scanned, None)}"
        if not self.segments:
            return "not begun"
        segments = done_of(self.segments_done, self.segments)
        return f"running: {scanned_of(self.scanned, self.items)}, {segments}"


def scanned_of(scanned: int, items: int | None) -> str:
    """Items scanned of about how many; a table may hold more than the service counted."""
    if items is None or scanned > items:
        return f"scanned {scanned:,} item{'' if scanned == 1 else 's'}"
    return f"scanned {scanned:,} of about {items:,} item{'' if items == 1 else 's'}"


def done_of(done: int, segments: int) -> str:
    """Segments done of how many."""
    return f"{done:,} of {segments:,} segment{'' if segments == 1 else 's'} done"


def incomplete(mode: str, start: str, snapshot: Snapshot | None) -> str | None:
    """What is missing in a mirror, in a sentence."""
    if mode != "mirror" or not start:
        return None
    if snapshot is None:
        return f"did not start with a snapshot but at {start!r}: items not changed since then are missing"
    if snapshot.ready:
        return None
    if snapshot.epoch == 1:
        return "the snapshot is not complete: items are missing"
    return "the snapshot is not complete: items may be missing, and deleted ones may still be there"
