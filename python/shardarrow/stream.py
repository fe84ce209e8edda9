"""`Stream`: batches one after the other, for `async for` and for `for`, and what is done with them."""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from shardarrow import _native
from shardarrow.batch import Batch
from shardarrow.checkpoint import Gap, LoaderState, QuarantinedRecord
from shardarrow.errors import ClosedError, UsageError
from shardarrow.lifetime import Lifetime
from shardarrow.ready import ReadyWait
from shardarrow.waiting import Ear, wait

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("shardarrow")

# Seconds. An event loop gets a turn at least every 10 ms; the body of the loop needs time as well.
_TURN = 0.005


class _Ended:
    def __repr__(self) -> str:
        return "Stream.ENDED"


class Stream(Lifetime):
    """Batches of a source, one after the other.

    Open it with `async with` or `with`; iterate with `async for` or `for`, also in turns. Made by
    `Source.stream`.
    """

    ENDED: Final = _Ended()

    def __init__(
        self,
        config: dict[str, Any],
        *,
        title: str,
        commit: Literal["auto", "manual"],
        memory: _native.Memory | None = None,
        one_schema: bool = False,
    ) -> None:
        # The text is forgotten on opening: it holds credentials.
        self._config: str | None = json.dumps(config)
        self._title = title
        self._commit = commit
        self._memory = memory
        self._one_schema = one_schema
        self._native_stream: _native.Stream | None = None
        self._ear: Ear | None = None
        self._closed = False
        self._waiting = threading.Lock()
        self._last_turn = 0.0
        self._current: int | None = None
        self._handed_out: int | None = None
        self._exported = False

    # Opening and closing

    def close(self) -> None:
        """Makes durable what is done, ends reading and lets the checkpoint go.

        A batch in hand stays undone. Closing again does nothing.

        Raises:
            CheckpointError: What is done could not be made durable.
        """
        self._wait_closed(self._begin_close())

    async def aclose(self) -> None:
        """As `close`, for an event loop."""
        await self._wait_closed_async(self._begin_close())

    def _begin(self) -> _native.Stream:
        if self._config is None:
            raise ClosedError("this stream was opened before; make a new one with source.stream(...)")
        config, self._config = self._config, None
        self._native_stream = _native.Stream(config, self._memory)
        return self._native_stream

    def _leave(self, *, failed: bool) -> _native.Stream | None:
        if not failed:
            self._finish_current()
        return self._begin_close()

    def _begin_close(self) -> _native.Stream | None:
        native, self._config = self._native_stream, None
        if native is None or self._closed:
            return None
        self._closed = True
        native.close()
        if not self._waiting.locked():
            self._drop_ear()
        return native

    def _drop_ear(self) -> None:
        """Only without a waiter: an event loop would never notice that its socket is gone."""
        if self._ear is not None:
            self._ear.close()
            self._ear = None

    # Iterating

    def __iter__(self) -> Self:
        return self

    def __aiter__(self) -> Self:
        return self

    def __next__(self) -> Batch:
        native = self._open_stream()
        with self._one_waiter():
            self._finish_current()
            try:
                batch = native.take()
            finally:
                self._noticed()
            if batch is None:
                raise StopIteration
            return self._hand_out(batch)

    async def __anext__(self) -> Batch:
        native = self._open_stream()
        self._begin_waiting()
        try:
            self._finish_current()
            # Timeouts and other tasks run while batches are always ready; nothing is in hand here.
            if time.monotonic() - self._last_turn >= _TURN:
                await asyncio.sleep(0)
                self._last_turn = time.monotonic()
            batch = native.poll() or await self._listen(native)
            if isinstance(batch, _Ended):
                raise StopAsyncIteration
            return self._hand_out(batch)
        finally:
            self._waiting.release()
            if native.has_log:
                self._noticed()

    async def _listen(self, native: _native.Stream) -> _native.Batch | _Ended:
        if self._ear is None:
            self._ear = Ear(native.bell)
        try:
            return await self._ear.until(lambda: native.poll() or (self.ENDED if native.ended else None))
        finally:
            self._last_turn = time.monotonic()
            if self._closed:
                self._drop_ear()

    @contextlib.contextmanager
    def _one_waiter(self) -> Iterator[None]:
        self._begin_waiting()
        try:
            yield
        finally:
            self._waiting.release()

    def _begin_waiting(self) -> None:
        if not self._waiting.acquire(blocking=False):
            raise RuntimeError(
                "another task or thread is already waiting for the next batch of this stream; "
                "let one take batches and share them, or open one stream for each"
            )

    def _hand_out(self, native: _native.Batch) -> Batch:
        self._current = self._handed_out = native.number
        return Batch(native, self)

    def _finish_current(self) -> None:
        """With `commit="auto"`, what was handed out last is done."""
        current, self._current = self._current, None
        if self._commit == "auto" and current is not None and self._native_stream is not None:
            self._native_stream.done(current, False)

    def _open_stream(self) -> _native.Stream:
        if self._native_stream is None:
            raise ClosedError("the stream is not open; use it in `async with` or `with`")
        if self._closed:
            raise ClosedError("the stream is closed; make a new one with source.stream(...)")
        return self._native_stream

    # Committing

    def commit(self, batch: Batch | None = None, *, alone: bool = False) -> None:
        """Says that batches are done, and returns when that is durable.

        Args:
            batch: This one and all handed out before it; `None`: all handed out.
            alone: This one only. What is saved is the unbroken run from the front.

        Raises:
            UsageError: The stream commits by itself, or the batch is of another stream.
            CheckpointError: It could not be made durable.
        """
        self._mark(batch, alone).wait()

    async def commit_async(self, batch: Batch | None = None, *, alone: bool = False) -> None:
        """As `commit`, for an event loop."""
        ticket = self._mark(batch, alone)
        await wait(self._open_stream().bell, lambda: ticket.resolved() or None)

    def _mark(self, batch: Batch | None, alone: bool) -> _native.Ticket:
        native = self._open_stream()
        if self._commit != "manual":
            raise UsageError(
                'this stream commits by itself; open it with commit="manual" to say what is done'
            )
        if alone and batch is None:
            raise UsageError("alone=True needs the batch that is done")
        if batch is not None and batch._owner is not self:
            raise UsageError("this batch was not handed out by this stream")
        number = self._handed_out if batch is None else batch._native.number
        if number is not None:
            native.done(number, alone)
        return native.flush()

    # Ready

    @property
    def ready(self) -> bool:
        """Whether the snapshot is complete and every change made up to its end has been handed out.

        It needs no further record to become true, but it does need somebody who takes the batches. A
        stream that did not begin with a snapshot is ready when it is open.
        """
        native = self._known_stream()
        self._noticed()
        return native.ready

    async def wait_ready(self) -> None:
        """Waits until the stream is `ready`; in a thread, use `wait_ready_blocking`.

        Ready comes when the last batch of the snapshot is handed out, so another task must take the
        batches meanwhile. If nobody does, a warning in the log says so.

        Raises:
            ShardArrowError: What ended the stream before it was ready.
        """
        await self._ready_wait().finish_async()
        self._noticed()

    def wait_ready_blocking(self, timeout: float | None = None) -> None:
        """As `wait_ready`, for a thread beside the one that takes the batches.

        Args:
            timeout: The most seconds to wait.

        Raises:
            TimeoutError: It did not come in time.
            ShardArrowError: What ended the stream before it was ready.
        """
        self._ready_wait().finish(timeout)
        self._noticed()

    def _ready_wait(self) -> ReadyWait:
        return ReadyWait(self._known_stream(), self._title, lambda: self._handed_out, self._waiting.locked)

    # Looking

    def metrics(self) -> dict[str, Any]:
        """Counts, lag and memory, per shard and in total. It works while the stream is failing too.

        ``state`` is ``"opening"``, ``"open"``, ``"ended"``, ``"failed"`` or ``"closed"``; ``batches`` are
        those handed out, ``held`` those not committed; sizes are bytes. ``changes_waiting`` are changes that
        were read and are not committed; those made in the last ``unread_seconds`` may be in the stream still,
        and the service does not say how many they are. ``retention_used`` is the share of the stream's
        retention that has passed since nothing was missing: from 1 on changes are lost.
        ``decoded`` counts what is unusual in the records: ``unfit`` values that stand in ``_rest``,
        ``aggregates`` of the Kinesis Producer Library, ``broken_aggregates`` whose checksum is wrong, and
        ``out_of_range`` parts of aggregates that belong to another shard. ``snapshot`` says how far the scan
        of the table is, and is `None` without one. Before the table is known there are only the first two.
        """
        native = self._known_stream()
        self._noticed()
        counted = json.loads(native.metrics() or "{}")
        return {"state": native.state_word, "batches": self._handed_out or 0, **counted}

    def gaps(self) -> list[Gap]:
        """The losses kept with the checkpoint: a new one too, once it is durable with what comes behind it.

        That is so within `commit_interval`, and at the latest when the block was left.
        """
        return [Gap._from_json(gap) for gap in self._known_stream().gaps()]

    def quarantined(self) -> list[QuarantinedRecord]:
        """The records kept with the checkpoint because they could not be decoded."""
        return [QuarantinedRecord(*record) for record in self._known_stream().quarantined()]

    def _known_stream(self) -> _native.Stream:
        if self._native_stream is None:
            raise ClosedError("the stream was not opened; use it in `async with` or `with`")
        return self._native_stream

    def _noticed(self) -> None:
        """Writes what the core noticed, on this thread: the core's own threads never touch Python."""
        if self._native_stream is not None:
            for is_warning, line in self._native_stream.drain_log():
                _log.log(logging.WARNING if is_warning else logging.INFO, "%s: %s", self._title, line)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The batches as one Arrow stream, once.

        Raises:
            UsageError: The columns may still change; fix them with ``schema=`` or ``images="json"``.
            ClosedError: It was exported before, or batches were taken already.
        """
        if not self._one_schema:
            raise UsageError(
                "the columns of this stream may grow, which one Arrow stream cannot; give the source "
                'schema=… or images="json", or take its batches one by one'
            )
        native = self._open_stream()
        if self._exported or self._handed_out is not None:
            raise ClosedError("this stream is consumed already; make a new one with source.stream(...)")
        self._exported = True
        return native.export(self._commit == "auto")

    def __repr__(self) -> str:
        return f"<Stream of {self._title}, {self._state_word()}>"

    def _repr_html_(self) -> str:
        return f"<p>Stream of <code>{html.escape(self._title)}</code>, {self._state_word()}</p>"

    @property
    def _subject(self) -> str:
        return f"stream of {self._title}"

    def _state_word(self) -> str:
        return "not open" if self._native_stream is None else self._native_stream.state_word

    def _fit(self, table: _native.Table) -> None:
        """An empty table has the columns known before the first record."""
        self._open_stream().fit(table)

    # For loaders

    def _take(self, timeout: float) -> Batch | _Ended | None:
        """The next batch; `None` after `timeout` seconds; `Stream.ENDED` when there is no more."""
        native = self._open_stream()
        with self._one_waiter():
            try:
                batch = native.take(timeout)
            finally:
                self._noticed()
            if batch is not None:
                return self._hand_out(batch)
            return self.ENDED if native.ended else None

    @property
    def _ended(self) -> bool:
        return self._known_stream().ended

    def _state(self) -> LoaderState:
        """What covers every batch taken so far."""
        return LoaderState(*self._open_stream().state())

    def _saved(self, through: int) -> None:
        """Everything up to `LoaderState.through` is durable."""
        self._open_stream().saved(through)

    @property
    def _keys(self) -> list[tuple[str, Literal["S", "N", "B"]]]:
        return self._described()[3]

    @property
    def _view_has_new_image(self) -> bool:
        return self._described()[4]

    @property
    def _retention(self) -> float:
        """How long the stream keeps a record, in seconds."""
        return self._open_stream().retention() / 1000

    def _described(self) -> tuple[str, str, str, list[tuple[str, Literal["S", "N", "B"]]], bool]:
        description = self._known_stream().description()
        if description is None:
            raise ClosedError("the stream is not open yet")
        return description
