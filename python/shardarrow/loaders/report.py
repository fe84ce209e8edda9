"""What a load did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(repr=False)
class Report:
    """What one load did, from its start to its end."""

    table: str
    """The table and its destination."""
    mode: str
    """``mirror`` or ``append``."""
    rows: int = 0
    """Changes taken from the stream."""
    inserts: int = 0
    """Rows added. In a mirror these are effects: a key that came and went between two commits is none."""
    updates: int = 0
    deletes: int = 0
    batches: int = 0
    commits: int = 0
    gaps: int = 0
    """Gaps found in this load; all of them are in ``_shardarrow_gaps``."""
    quarantined: int = 0
    epoch: int = 0
    start: str = ""
    """How the table's stream was started the first time: ``earliest``, ``latest``, …"""
    resumed: bool = False
    """The destination had a checkpoint, and this load went on from it."""
    stopped_by: str | None = None
    """``SIGINT``, ``SIGTERM`` or what else asked the load to stop; None when it reached its end."""
    elapsed: float = 0.0
    """Seconds."""

    @property
    def from_snapshot(self) -> bool:
        """Whether the mirror began with everything the table held."""
        return self.start == "snapshot"

    @property
    def warning(self) -> str | None:
        """What a reader of the mirror has to know, in a sentence."""
        return incomplete(self.mode, self.start)

    def add(self, batches: Sequence[Any], written: Any) -> None:
        """Counts one commit."""
        self.rows += sum(batch.num_rows for batch in batches)
        self.batches += len(batches)
        self.commits += 1
        self.inserts += written.inserted
        self.updates += written.updated
        self.deletes += written.deleted

    def add_state(self, checkpoint: Mapping[str, Any], gaps: int, quarantined: int) -> None:
        """Takes over what the state of one commit says."""
        self.epoch = int(checkpoint.get("epoch", 0))
        self.start = str(checkpoint.get("start", ""))
        self.gaps += gaps
        self.quarantined += quarantined

    def __repr__(self) -> str:
        effects = f"{self.inserts:,} inserted, {self.updates:,} updated, {self.deletes:,} deleted"
        lines = [
            f"{self.table} ({self.mode}): {counted(self.rows, 'change')} "
            f"in {counted(self.commits, 'commit')}, {self.elapsed:.1f} s",
            f"  {effects}" if self.mode == "mirror" else "",
            f"  {counted(self.gaps, 'gap')}: changes are known to be lost" if self.gaps else "",
            f"  {counted(self.quarantined, 'record')} quarantined" if self.quarantined else "",
            f"  stopped by {self.stopped_by}" if self.stopped_by else "",
            f"  {self.warning}" if self.warning else "",
        ]
        return "\n".join(line for line in lines if line)


def counted(number: int, what: str) -> str:
    """A number and what it counts."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def incomplete(mode: str, start: str) -> str | None:
    """The sentence about a mirror that did not start with a snapshot."""
    if mode != "mirror" or start in ("", "snapshot"):
        return None
    return f"did not start with a snapshot but at {start!r}: items not changed since then are missing"
