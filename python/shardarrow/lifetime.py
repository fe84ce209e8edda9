"""Opening and closing of what runs in the core, in a thread or in an event loop."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Protocol, Self

from shardarrow.errors import ShardArrowError
from shardarrow.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from shardarrow import _native

_log = logging.getLogger("shardarrow")


class Running(Protocol):
    """What the core runs: it says itself when it is open and when it is closed."""

    def opened(self) -> bool: ...
    def wait_opened(self) -> None: ...
    def closed(self) -> bool: ...
    def wait_closed(self) -> None: ...
    @property
    def bell(self) -> Callable[[int], _native.Bell]: ...


class Lifetime:
    """Something that is opened by `with` or `async with`, once, and closed with the block or before."""

    def __enter__(self) -> Self:
        running = self._begin()
        try:
            running.wait_opened()
        except BaseException:
            self._give_up()
            raise
        self._noticed()
        return self

    async def __aenter__(self) -> Self:
        running = self._begin()
        try:
            await wait(running.bell, lambda: running.opened() or None)
        except BaseException:
            self._give_up()
            raise
        self._noticed()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._not_masking(error):
            self._wait_closed(self._leave(failed=kind is not None))

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._not_masking(error):
            await self._wait_closed_async(self._leave(failed=kind is not None))

    def _wait_closed(self, running: Running | None) -> None:
        if running is not None:
            try:
                running.wait_closed()
            finally:
                self._noticed()

    async def _wait_closed_async(self, running: Running | None) -> None:
        if running is not None:
            try:
                await wait(running.bell, lambda: running.closed() or None)
            finally:
                self._noticed()

    def _give_up(self) -> None:
        """Opening failed or was interrupted: everything is let go before anybody hears of it."""
        with contextlib.suppress(ShardArrowError):
            self._wait_closed(self._leave(failed=True))

    @contextlib.contextmanager
    def _not_masking(self, error: BaseException | None) -> Iterator[None]:
        """A failure to close while another error is on its way is logged, not raised."""
        try:
            yield
        except ShardArrowError as failure:
            if error is None:
                raise
            if failure is not error:
                _log.warning("closing the %s failed as well: %s", self._subject, failure)

    # What each kind says for itself

    @property
    def _subject(self) -> str:
        """What sentences call it."""
        raise NotImplementedError

    def _begin(self) -> Running:
        """Starts opening.

        Raises:
            ClosedError: It was opened before.
        """
        raise NotImplementedError

    def _leave(self, *, failed: bool) -> Running | None:
        """Starts closing because the block ends, by an error or not; `None`: there is nothing to wait for."""
        raise NotImplementedError

    def _noticed(self) -> None:
        """After each wait."""
