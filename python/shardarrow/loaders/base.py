"""Loading: the protocol of a loader, the loop that feeds one, and the report it ends with.

The loop knows no destination. It takes batches for ``load_interval``, hands them to the
loader together with the state that covers exactly them, and tells the stream that they are
saved only when the loader has committed both in one transaction.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shardarrow.errors import StreamUnusableError
from shardarrow.loaders.report import Report
from shardarrow.loaders.stop import Stop

# A write takes what is in hand at these bounds, before load_interval is over. The rows are in
# memory once as Arrow and once inside the destination's transaction.
_WRITE_ROWS = 200_000
_WRITE_BYTES = 64 * 1024 * 1024
# The longest wait inside one take: how late a request to stop is noticed.
_TURN = 0.25

Key = tuple[str, str]
"""A key attribute and its DynamoDB type: ``S``, ``N`` or ``B``."""


class State(Protocol):
    """What a stream knows after the batches taken so far; to be saved with them or not at all."""

    through: int
    checkpoint: str
    gaps: Sequence[str]
    quarantined: Sequence[tuple[str, str | None, bytes, str]]


@dataclass(frozen=True)
class Written:
    """What one transaction changed in the destination."""

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    swept: int = 0
    """Rows removed because a later snapshot, now complete, did not see them."""


@dataclass(frozen=True)
class Saved:
    """What a destination remembers of one table that was loaded into it."""

    table: str
    """The table's name in the destination."""
    mode: str
    checkpoint: str
    """JSON."""
    changes: int
    """Changes and scanned items loaded since the beginning, over all loads."""
    gaps: int
    quarantined: int
    saved_at: float
    """Seconds since 1970, by the clock of the machine that wrote it."""
    notes: Sequence[str] = ()
    """What a reader of the table has to know besides, in sentences."""


class Loader(Protocol):
    """One table of one destination. Each destination has its own module; none imports another."""

    @property
    def label(self) -> str:
        """The table and its destination, for sentences."""
        ...

    @property
    def mode(self) -> str:
        """``mirror`` or ``append``."""
        ...

    def resume(self) -> str | None:
        """The checkpoint saved with the table as JSON, or None when nothing was ever loaded.

        Raises:
            LoadError: the table has rows but no checkpoint, or a checkpoint but no table.
        """
        ...

    def opened(self, stream: Any) -> None:
        """The stream is open, and can be asked what it is."""
        ...

    def write(self, batches: Sequence[Any], state: State, keys: Sequence[Key]) -> Written:
        """Makes the batches and the state durable in one transaction; the first call may have no batch.

        Raises:
            LoadError: the destination refused; nothing was changed.
            CheckpointBusyError: another loader has written to the table.
        """
        ...

    def close(self) -> None:
        """The load is over: lets go of what is held. What was not written stays unwritten."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What a reader of the destination has to know, in sentences, for the report."""
        ...


Progress = Callable[[Report, Any], None]
"""Called after each turn with the report so far and the stream."""


class Loop:
    """One load: from the state the destination holds until the stream ends or somebody says stop."""

    def __init__(
        self,
        loader: Loader,
        *,
        load_interval: float = 1.0,
        stop: Stop | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._loader = loader
        self._interval = load_interval
        self._stop = stop or Stop()
        self._progress = progress
        self._checkpoint: str | None = None
        self._failure: Exception | None = None
        self.report = Report(table=loader.label, mode=loader.mode)

    def run(self, source: Any, **options: Any) -> Report:
        """Loads until the stream ends or somebody says stop; a failure of the stream comes out last."""
        with contextlib.closing(self._loader):
            return self._run(source, **options)

    def _run(self, source: Any, **options: Any) -> Report:
        begun = time.monotonic()
        saved = self._loader.resume()
        self.report.resumed = saved is not None
        with source._stream_for_loader(saved, mode=self._loader.mode, **options) as stream:
            _require_new_image(stream, self._loader)
            self._loader.opened(stream)
            self._write(stream, [])
            while self._turn(stream):
                self._tell(stream, begun)
        self._tell(stream, begun)
        return self.report

    def _turn(self, stream: Any) -> bool:
        """Collects, writes, and says whether to go on."""
        batches = self._collect(stream)
        # Asked before the state is read, which then covers everything up to the end.
        over = stream._ended and not batches
        self._write(stream, batches)
        if self._failure is not None:
            raise self._failure
        self.report.stopped_by = self._stop.by
        return not (self._stop.requested or over)

    def _collect(self, stream: Any) -> list[Any]:
        """The batches of one write: those of ``load_interval``, or fewer when they are many."""
        batches: list[Any] = []
        rows = size = 0
        begun = time.monotonic()
        while not self._stop.requested and rows < _WRITE_ROWS and size < _WRITE_BYTES:
            # With nothing in hand there is nothing to hurry for, however short the interval.
            patience = self._interval if batches else max(self._interval, _TURN)
            left = begun + patience - time.monotonic()
            if batches and left <= 0:
                break
            batch = self._take(stream, max(0.0, min(left, _TURN)))
            if batch is not None:
                batches.append(batch)
                rows += batch.num_rows
                size += batch.nbytes
            elif left <= 0 or stream._ended or self._failure is not None:
                break
        return batches

    def _take(self, stream: Any, timeout: float) -> Any:
        """The next batch. A failing stream is reported only after the batches in hand are written."""
        try:
            batch = stream._take(timeout)
        except Exception as error:  # noqa: BLE001 - raised again by `_turn`
            self._failure = error
            return None
        return None if batch is stream.ENDED else batch

    def _write(self, stream: Any, batches: Sequence[Any]) -> None:
        state = stream._state()
        known = state.checkpoint == self._checkpoint and not state.gaps and not state.quarantined
        if batches or not known:
            written = self._loader.write(batches, state, stream._keys)
            self._checkpoint = state.checkpoint
            self.report.add(batches, written)
            self.report.add_state(json.loads(state.checkpoint), len(state.gaps), len(state.quarantined))
        stream._saved(state.through)

    def _tell(self, stream: Any, begun: float) -> None:
        self.report.elapsed = time.monotonic() - begun
        self.report.notes = list(self._loader.notes)
        if self._progress is not None:
            self._progress(self.report, stream)


def _require_new_image(stream: Any, loader: Loader) -> None:
    """A mirror is made of new images; a log of changes is true without them.

    Raises:
        StreamUnusableError: the stream carries none and the mode is ``mirror``.
    """
    if loader.mode == "mirror" and not stream._view_has_new_image:
        raise StreamUnusableError(
            f"cannot mirror into {loader.label}: the stream's view type carries no new image; "
            "enable the stream with NEW_IMAGE or NEW_AND_OLD_IMAGES, or load with mode='append'"
        )
