"""The loop that feeds a loader, without a destination."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace, TracebackType
from typing import Any, Self

from shardarrow.loaders.base import Loop, Written


class EndsMeanwhile:
    """A stream without batches, which gets ready and ends while the state before that is being written."""

    ENDED = object()
    _keys = (("id", "S"),)
    _view_has_new_image = True

    def __init__(self) -> None:
        self._ended = False
        self.ready = False

    def _stream_for_loader(self, saved: str | None, **options: Any) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def _take(self, timeout: float) -> object:
        return self.ENDED if self._ended else None

    def _state(self) -> SimpleNamespace:
        snapshot = {"segments": [], "slices": 1, "scanned": 0, "items": 0, "ended": 1, "ready": self.ready}
        checkpoint = json.dumps({"start": "snapshot", "epoch": 1, "shards": {}, "snapshot": snapshot})
        return SimpleNamespace(through=int(self.ready), checkpoint=checkpoint, gaps=[], quarantined=[])

    def _saved(self, through: int) -> None:
        """Only after the first turn: what comes now is news."""
        self.ready = self._ended = self._ended or through == 0


class Memory:
    """A destination that remembers the last state written to it."""

    label, mode = "table t", "mirror"
    checkpoint = ""
    notes: Sequence[str] = ("a note",)
    closed = False

    def resume(self) -> str | None:
        return None

    def opened(self, stream: Any) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True

    def write(self, batches: Sequence[Any], state: Any, keys: Sequence[Any]) -> Written:
        self.checkpoint = state.checkpoint
        return Written()


def test_what_a_stream_says_last_is_written_before_the_loop_ends() -> None:
    stream, loader = EndsMeanwhile(), Memory()
    first, saves = stream._saved, []

    def saved(through: int) -> None:
        saves.append(through)
        if len(saves) == 2:  # the write of a turn that found nothing, while the stream comes to its end
            first(through)

    stream._saved = saved  # type: ignore[method-assign]
    report = Loop(loader, load_interval=0.0).run(stream)
    assert loader.closed and report.notes == ["a note"]
    assert json.loads(loader.checkpoint)["snapshot"]["ready"]
