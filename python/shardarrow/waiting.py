"""How an event loop waits for the core."""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from shardarrow import _native

T = TypeVar("T")


class Ear:
    """Lets an event loop wait for the core, through a socket pair whose other end the core rings.

    No thread of the core ever touches Python: it writes a byte, and only after `arm`.
    """

    def __init__(self, bell: Callable[[int], _native.Bell]) -> None:
        self._socket, other = socket.socketpair()
        self._socket.setblocking(False)
        other.setblocking(False)
        self._bell = bell(other.detach())

    async def until(self, ready: Callable[[], T | None]) -> T:
        """Waits until `ready` gives something. Cancelling it loses nothing: only `ready` takes."""
        loop = asyncio.get_running_loop()
        while True:
            self._bell.arm()
            if (value := ready()) is not None:
                return value
            await loop.sock_recv(self._socket, 64)

    def close(self) -> None:
        """Gives the socket back."""
        self._socket.close()


async def wait(bell: Callable[[int], _native.Bell], ready: Callable[[], T | None]) -> T:
    """Waits once, with an ear of its own."""
    ear = Ear(bell)
    try:
        return await ear.until(ready)
    finally:
        ear.close()
