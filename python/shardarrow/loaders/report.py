"""What a load did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shardarrow.loaders.snapshot import Snapshot, incomplete


@dataclass(repr=False)
class Report:
    """What one load did, from its start to its end."""

    table: str
    """The table and its destination."""
    mode: str
    """``mirror`` or ``append``."""
    rows: int = 0
    """Changes taken from the stream, and items scanned in this load."""
    inserts: int = 0
    """Rows added. In a mirror these are effects: a key that came and went between two commits is none."""
    updates: int = 0
    deletes: int = 0
    swept: int = 0
    """Rows removed from the mirror because a later snapshot did not see them."""
    batches: int = 0
    commits: int = 0
    gaps: int = 0
    """Gaps found in this load; all of them are in ``_shardarrow_gaps``."""
    quarantined: int = 0
    epoch: int = 0
    """Which snapshot the table follows: 1 for the first; it counts up when the source is scanned anew."""
    snapshot: Snapshot | None = None
    """How far the snapshot of this epoch is; None when the stream did not start with one."""
    start: str = ""
    """How the table's stream was started the first time: ``earliest``, ``latest``, …"""
    resumed: bool = False
    """The destination had a checkpoint, and this load went on from it."""
    stopped_by: str | None = None
    """``SIGINT``, ``SIGTERM`` or what else asked the load to stop; None when it reached its end."""
    elapsed: float = 0.0
    """Seconds."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the destination has to know besides, in sentences."""

    @property
    def from_snapshot(self) -> bool:
        """Whether everything the source held is loaded, or is being loaded."""
        return self.snapshot is not None

    @property
    def ready(self) -> bool:
        """The snapshot, and every change made up to its end, is loaded: the mirror is whole."""
        return self.snapshot is not None and self.snapshot.ready

    @property
    def warning(self) -> str | None:
        """What a reader of the mirror has to know, in a sentence."""
        return incomplete(self.mode, self.start, self.snapshot)

    def add(self, batches: Sequence[Any], written: Any) -> None:
        """Counts one commit."""
        self.rows += sum(batch.num_rows for batch in batches)
        self.batches += len(batches)
        self.commits += 1
        self.inserts += written.inserted
        self.updates += written.updated
        self.deletes += written.deleted
        self.swept += written.swept

    def add_state(self, checkpoint: Mapping[str, Any], gaps: int, quarantined: int) -> None:
        """Takes over what the state of one commit says."""
        self.epoch = int(checkpoint["epoch"])
        self.snapshot = Snapshot.of(checkpoint)
        self.start = str(checkpoint["start"])
        self.gaps += gaps
        self.quarantined += quarantined

    def __repr__(self) -> str:
        taken = counted(self.rows, "row" if self.snapshot else "change")
        effects = f"{self.inserts:,} inserted, {self.updates:,} updated, {self.deletes:,} deleted"
        lines = [
            f"{self.table} ({self.mode}): {taken} in {counted(self.commits, 'commit')}, {self.elapsed:.1f} s",
            f"  {effects}" if self.mode == "mirror" else "",
            f"  {self.snapshot.name} {self.snapshot.summary}" if self.snapshot else "",
            f"  {counted(self.swept, 'row')} that the new snapshot did not see removed" if self.swept else "",
            f"  {counted(self.gaps, 'gap')}: changes are known to be lost" if self.gaps else "",
            f"  {counted(self.quarantined, 'record')} quarantined" if self.quarantined else "",
            f"  stopped by {self.stopped_by}" if self.stopped_by else "",
            f"  {self.warning}" if self.warning else "",
            *(f"  {note}" for note in self.notes),
        ]
        return "\n".join(line for line in lines if line)


def counted(number: int, what: str) -> str:
    """A number and what it counts."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
