"""Waiting until a stream is ready, which depends on somebody who takes its batches."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING

from shardarrow.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable

    from shardarrow import _native

_log = logging.getLogger("shardarrow")

# Seconds without a batch taken, after which the wait says what it waits for.
_PATIENCE = 10.0


class ReadyWait:
    """One wait.

    Args:
        native: The stream.
        title: What sentences call it.
        taken: The number of the batch taken last.
        is_taking: Whether somebody is waiting for a batch at this moment.
    """

    def __init__(
        self,
        native: _native.Stream,
        title: str,
        taken: Callable[[], int | None],
        is_taking: Callable[[], bool],
    ) -> None:
        self._native, self._title = native, title
        self._taken, self._is_taking = taken, is_taking
        self._seen = taken()
        self._warned = False

    async def finish_async(self) -> None:
        """Waits, for an event loop."""
        while not await self._within(_PATIENCE):
            self._look()

    def finish(self, timeout: float | None) -> None:
        """Waits, at most `timeout` seconds.

        Raises:
            TimeoutError: It did not come in time.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        while not self._native.wait_ready(min(_PATIENCE, until - time.monotonic())):
            if time.monotonic() >= until:
                raise TimeoutError(
                    f"the stream of {self._title} was not ready within {timeout} seconds; ready comes only "
                    "while its batches are taken"
                )
            self._look()

    async def _within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds) as turn:
                return await wait(self._native.bell, lambda: self._native.poll_ready() or None)
        except TimeoutError:
            # A stream that failed may raise one of its own.
            if not turn.expired():
                raise
            return False

    def _look(self) -> None:
        """Says, once, that nobody has taken a batch since the last look."""
        before, self._seen = self._seen, self._taken()
        if before == self._seen and not self._is_taking() and not self._warned:
            self._warned = True
            _log.warning(
                "%s: waiting to be ready, but for %d seconds nobody has taken a batch; ready comes only "
                "while another task or thread takes them",
                self._title,
                _PATIENCE,
            )
