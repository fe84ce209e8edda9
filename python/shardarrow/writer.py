"""Arrow data into a Kinesis stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Unpack

from shardarrow import _native
from shardarrow.checks import at_least_one, known_options, one_of, seconds, size
from shardarrow.errors import ClosedError, UsageError
from shardarrow.lifetime import Lifetime
from shardarrow.options import ConnectionOptions, connection_config
from shardarrow.signatures import names_options
from shardarrow.waiting import Ear, wait

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True)
class WriterReport:
    """What a writer did so far."""

    stream: str
    """The stream's name or ARN, as it was given."""
    rows: int
    """Rows accepted."""
    written: int
    """Records that the service has acknowledged."""
    bytes: int
    """Their data and partition keys."""
    requests: int
    retried: int
    """Records sent again, whatever the reason."""
    throttled: int
    """Refusals of records because their shard took no more at that moment."""
    unanswered: int
    """Requests of which nobody knows whether they took effect: their records may be in the stream twice."""

    @property
    def waiting(self) -> int:
        """Rows accepted and not acknowledged."""
        return self.rows - self.written


class KinesisWriter(Lifetime):
    """Writes rows of Arrow data into a Kinesis stream: use it with `with` or `async with`.

    Each row becomes one record: a JSON object of its columns, a change, or the bytes of one column. Only the
    records that the service refused are sent again, after a pause. A record whose answer was lost is sent
    again too, so it may stand in the stream twice.

    Leaving the block waits until everything is acknowledged; leaving it by an exception does not send
    what still waits.

    Args:
        stream: The stream's name or its ARN.
        partition_key: A column, a list of columns (joined with ``|``), or a template such as
            ``"{customer}-{id}"``; cut at 256 characters. By default the keys that a batch of a DynamoDB
            source names (with ``images="json"`` a hash of them), or the column ``_partition_key`` of a
            Kinesis source.
        explicit_hash_key: A column with whole numbers from 0 to 2**128 - 1, which choose the shard instead
            of the partition key; null leaves it to the partition key.
        format: What a record holds. ``"json"``: the row as a JSON object. ``"dynamodb"``: the change of a
            table in the form in which DynamoDB sends it to a Kinesis stream, which
            ``kinesis(…, format="dynamodb")`` reads back exactly; it takes the batches of a source with
            ``images="json"``.
        changes_of: With ``format="dynamodb"``: the table's name, which each record then says.
        data: A binary or text column whose bytes are the record, instead of the whole row.
        create: Whether to make the stream when it is not there, and to wait until it takes records.
        shards: With how many shards it is made.
        ordered: Whether records with the same partition key are written in the order of their rows, one
            after the other's acknowledgement. False is faster where few keys have many rows.
        max_requests: How many requests may be under way at the same time.
        memory_limit: How much may be accepted and not yet acknowledged.
        stall_timeout: For how long the same record, or every request, may fail before it is an error.
        **connection: As for `dynamodb`.

    Raises:
        UsageError: An option cannot work. Nothing was contacted.
    """

    @names_options(ConnectionOptions, {})
    def __init__(
        self,
        stream: str,
        *,
        partition_key: str | Sequence[str] | None = None,
        explicit_hash_key: str | None = None,
        format: Literal["json", "dynamodb"] = "json",  # noqa: A002 - as of `kinesis`
        changes_of: str | None = None,
        data: str | None = None,
        create: bool = False,
        shards: int = 1,
        ordered: bool = True,
        max_requests: int = 4,
        memory_limit: int | str = "64MiB",
        stall_timeout: float | timedelta = 300.0,
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if not isinstance(stream, str) or not stream:
            raise UsageError(f"the stream must be a name or an ARN, not {stream!r}")
        own = KinesisWriter.__init__.__kwdefaults__ or {}
        known_options("KinesisWriter", connection, [*own, *ConnectionOptions.__annotations__])
        count = at_least_one("shards", shards)
        self._stream = stream
        # The text is forgotten on opening: it holds credentials.
        self._config: str | None = json.dumps(
            {
                "stream": stream,
                "connection": connection_config(connection),
                "create_shards": count if create else None,
                "partition_key": _key(partition_key),
                "explicit_hash_key": explicit_hash_key,
                "payload": _payload(format, changes_of, data),
                "ordered": bool(ordered),
                "requests": at_least_one("max_requests", max_requests),
                "memory_limit": size("memory_limit", memory_limit),
                "patience": seconds("stall_timeout", stall_timeout),
            }
        )
        self._native_writer: _native.Writer | None = None
        self._closed = False

    # Opening and closing

    def close(self) -> None:
        """Waits until everything accepted is acknowledged, then ends. Closing again does nothing.

        Raises:
            ShardArrowError: What could not be written.
        """
        self._wait_closed(self._leave(failed=False))

    async def aclose(self) -> None:
        """As `close`, for an event loop."""
        await self._wait_closed_async(self._leave(failed=False))

    def _begin(self) -> _native.Writer:
        if self._config is None:
            raise ClosedError("this writer was opened before; make a new one")
        config, self._config = self._config, None
        self._native_writer = _native.Writer(config)
        return self._native_writer

    def _leave(self, *, failed: bool) -> _native.Writer | None:
        native, self._config = self._native_writer, None
        if native is None or self._closed:
            return None
        self._closed = True
        native.close(failed)
        return native

    # Writing

    def write(self, data: Any) -> None:
        """Accepts all rows; waits while more than `memory_limit` is not acknowledged.

        Args:
            data: Anything that exports ``__arrow_c_stream__`` or ``__arrow_c_array__``: a batch of a stream,
                a table of pyarrow, a frame of polars, a result of DuckDB.

        Raises:
            BadRecordError: A row cannot be written; the error names it, counted from 0 in `data`. Those
                before it are accepted, it and those behind it are not, and the writer can go on.
            UsageError: A column is not there, or has a type that cannot be written.
            ShardArrowError: What the service refused for good, now or earlier.
        """
        self._open_writer().begin(data).finish()

    async def write_async(self, data: Any) -> None:
        """As `write`, for an event loop, which gets a turn between pieces of the data."""
        native = self._open_writer()
        rows, ear = native.begin(data), Ear(native.bell)
        try:
            done = await ear.until(rows.step)
            while not done:
                await asyncio.sleep(0)
                done = await ear.until(rows.step)
        finally:
            ear.close()

    def flush(self) -> None:
        """Waits until everything accepted is acknowledged.

        Raises:
            ShardArrowError: What could not be written.
        """
        self._open_writer().wait_flushed()

    async def flush_async(self) -> None:
        """As `flush`, for an event loop."""
        native = self._open_writer()
        await wait(native.bell, lambda: native.flushed() or None)

    @property
    def report(self) -> WriterReport:
        """What happened so far; also while the writer fails, and when it is closed."""
        counts = self._native_writer.counts() if self._native_writer else (0,) * 7
        return WriterReport(self._stream, *counts)

    @property
    def _subject(self) -> str:
        return f"writer of {self._stream}"

    def _open_writer(self) -> _native.Writer:
        if self._native_writer is None:
            raise ClosedError("the writer is not open; use it in `with` or `async with`")
        if self._closed:
            raise ClosedError("the writer is closed; make a new one")
        return self._native_writer

    def __repr__(self) -> str:
        if self._native_writer is None:
            return f"<KinesisWriter to {self._stream}, not open>"
        state = "closed" if self._closed else "open"
        return f"<KinesisWriter to {self._stream}, {state}, {self.report.written:,} records written>"


def _payload(form: str, changes_of: str | None, data: str | None) -> object:
    one_of("format", form, ("json", "dynamodb"))
    if form == "dynamodb":
        if data is not None:
            raise UsageError(
                f'data={data!r} is one column, and format="dynamodb" takes the whole change; leave one out'
            )
        return {"change": {"table": changes_of}}
    if changes_of is not None:
        raise UsageError('changes_of= is the table of changes: it needs format="dynamodb"')
    return "json" if data is None else {"column": data}


def _key(given: str | Sequence[str] | None) -> object:
    if given is None:
        return "data"
    if isinstance(given, str):
        return {"template": given} if "{" in given or "}" in given else {"columns": [given]}
    if not given or not all(isinstance(name, str) for name in given):
        raise UsageError(f"partition_key={given!r} must be a column, a list of columns, or a template")
    return {"columns": list(given)}
