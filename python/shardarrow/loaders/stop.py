"""Asking a load to stop: it finishes the batch in hand, commits and leaves."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Stop:
    """A request to stop, and who made it."""

    def __init__(self) -> None:
        self.by: str | None = None

    @property
    def requested(self) -> bool:
        """Whether somebody asked."""
        return self.by is not None

    def request(self, by: str) -> None:
        """Asks, in the name of the first who does."""
        self.by = self.by or by


@contextmanager
def on_signals(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM become a request; a second one does what it did before this block.

    Outside the main thread nothing happens, because Python delivers signals only there. A
    signal that is ignored stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {}
    interrupted = False

    def heard(number: int, _frame: Any) -> None:
        nonlocal interrupted
        if stop.requested:
            interrupted = before.get(number) is signal.default_int_handler
            restore()
            signal.raise_signal(number)
        stop.request(signal.Signals(number).name)

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, heard) or signal.SIG_DFL
    try:
        yield
    except Exception as error:
        if not interrupted:
            raise
        # A library that was in the middle of its work makes an error of its own of the interrupt.
        raise KeyboardInterrupt from error
    finally:
        restore()
