"""Sources: where records come from, said cheaply. Nothing connects before a stream is opened or read."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Unpack

from shardarrow import _native, url
from shardarrow.batch import Table
from shardarrow.checkpoint import MemoryStore
from shardarrow.errors import UsageError
from shardarrow.options import (
    STREAM_DEFAULTS,
    ArrowSchema,
    Checkpoint,
    ReadingOptions,
    Start,
    StreamOptions,
    at_least_one,
    columns_config,
    consumer,
    count,
    one_of,
    read_units_config,
    schema_config,
    seconds,
    segments_config,
    size,
    start_config,
    store,
    stream_config,
)
from shardarrow.stream import Stream
from shardarrow.waiting import wait

if TYPE_CHECKING:
    from collections.abc import Callable

_SECRETS = ("access_key_id", "secret_access_key", "session_token", "external_id")
_PLACE = ("region", "endpoint_url", "profile", *_SECRETS, "role_arn")
_TIMEOUTS = ("connect_timeout", "read_timeout", "attempt_timeout", "operation_timeout")
_CHOICES = {
    "numbers": ("exact", "float64"),
    "nested": ("json", "struct"),
    "json": ("text", "arrow.json"),
    "images": ("columns", "json"),
}


@dataclass(frozen=True, slots=True)
class Shard:
    """One ordered piece of a stream.

    Attributes:
        id: The service's name for it.
        parents: The shards whose records come before; empty when they are not listed any more.
        starting_sequence: Its first sequence number, if the service says so.
        ending_sequence: Its last one; `None` while it is open.
    """

    id: str
    parents: tuple[str, ...]
    starting_sequence: str | None
    ending_sequence: str | None

    @property
    def is_closed(self) -> bool:
        """Whether no more records will come."""
        return self.ending_sequence is not None


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Source:
    """A description of where records come from. Make one with `dynamodb` or `source`."""

    table: str
    start: Start = "snapshot"
    others: Literal["earliest", "latest"] | None = None
    segments: int | None = None
    max_read_units: float | None = None
    enable_stream: bool = False
    region: str | None = None
    endpoint_url: str | None = None
    profile: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    role_arn: str | None = None
    external_id: str | None = None
    connect_timeout: float | timedelta | None = None
    read_timeout: float | timedelta | None = None
    attempt_timeout: float | timedelta | None = None
    operation_timeout: float | timedelta | None = None
    schema: ArrowSchema | Mapping[str, str] | None = None
    columns: Sequence[str] | None = None
    numbers: Literal["exact", "float64"] = "exact"
    nested: Literal["json", "struct"] = "json"
    json: Literal["text", "arrow.json"] = "text"
    images: Literal["columns", "json"] = "columns"
    old_image: bool = False
    metadata_prefix: str = "_"
    max_columns: int = 1000

    def __post_init__(self) -> None:
        """Checks what can be checked without connecting."""
        if not isinstance(self.table, str) or not self.table:
            raise UsageError(f"the table must be a name or an ARN, not {self.table!r}")
        for option, choices in _CHOICES.items():
            one_of(option, getattr(self, option), choices)
        for option in _PLACE:
            if not isinstance(getattr(self, option), str | None):
                raise UsageError(f"{option}= must be a text")
        if not isinstance(self.metadata_prefix, str):
            raise UsageError("metadata_prefix= must be a text")
        if not isinstance(self.enable_stream, bool):
            raise UsageError(f"enable_stream={self.enable_stream!r} must be True or False")
        if self.enable_stream and self._names_a_stream:
            raise UsageError(
                f"enable_stream=True turns the stream of a table on, but {self.table!r} is one stream; "
                "name the table instead"
            )
        start_config(self.start, self.others)
        self._snapshot_config()
        self._decode_config("fail")
        self._connection_config()

    def stream(
        self,
        checkpoint: Checkpoint = None,
        name: str = "default",
        *,
        commit: Literal["auto", "manual"] = "auto",
        commit_interval: float | timedelta = 1.0,
        follow: bool = True,
        settle: float | timedelta = 10.0,
        batch_rows: int = 65536,
        batch_bytes: int | str = "16MiB",
        batch_wait: float | timedelta = 0.1,
        memory_limit: int | str = "256MiB",
        on_gap: Literal["fail", "resnapshot", "continue"] = "fail",
        on_bad_record: Literal["fail", "quarantine"] = "fail",
        poll_interval: float | timedelta = 1.0,
        discovery_interval: float | timedelta = 60.0,
        stall_timeout: float | timedelta = 300.0,
        snapshot_slice: float | timedelta = 900.0,
    ) -> Stream:
        """Batches, one after the other: use the result with `async with` or `with`.

        Durations are seconds or a `timedelta`, sizes are bytes or text such as ``"256MiB"``.

        Args:
            checkpoint: Where the position is kept: a path (SQLite), a store, or `None` for nowhere.
            name: Which consumer this is; several share a store under different names.
            commit: ``"auto"``: a batch is done when the next is asked for, when the loop ends, or when the
                block is left without an exception. ``"manual"``: when `Stream.commit` says so.
            commit_interval: The longest until what is done becomes durable.
            follow: Whether to wait for new records for ever, or end at those there are now.
            settle: With ``follow=False``, how long an open shard must stay silent to have been read.
            batch_rows: The most rows of a batch.
            batch_bytes: A batch is handed out when it holds this much.
            batch_wait: The longest a row waits for others to fill its batch.
            memory_limit: For pages and batches not yet handed out; at least 64 MiB.
            on_gap: What to do when records are known to be lost: fail, scan the table again under a new
                `Batch.epoch`, or write it down and go on.
            on_bad_record: What to do with a record that cannot be decoded. ``"quarantine"`` keeps it with
                the checkpoint, so it needs one.
            poll_interval: The pause between two empty answers of a shard.
            discovery_interval: How often all shards are listed anew.
            stall_timeout: A shard without a successful call for so long is an error.
            snapshot_slice: How long the table is scanned before the changes made meanwhile are read, in
                turns, because a scan may take longer than the 24 hours that changes are kept. At most 12
                hours.

        Raises:
            UsageError: An option cannot work. Nothing was contacted.
        """
        options: StreamOptions = {
            "commit_interval": commit_interval,
            "follow": follow,
            "settle": settle,
            "batch_rows": batch_rows,
            "batch_bytes": batch_bytes,
            "batch_wait": batch_wait,
            "memory_limit": memory_limit,
            "on_gap": on_gap,
            "on_bad_record": on_bad_record,
            "poll_interval": poll_interval,
            "discovery_interval": discovery_interval,
            "stall_timeout": stall_timeout,
            "snapshot_slice": snapshot_slice,
        }
        one_of("commit", commit, ("auto", "manual"))
        return self._stream(checkpoint, name, commit, {}, options)

    def _stream(
        self,
        checkpoint: Checkpoint,
        name: str,
        commit: Literal["auto", "manual"],
        scan: Mapping[str, Any],
        options: Mapping[str, Any],
    ) -> Stream:
        """A stream that keeps its own checkpoint; `scan` says what is special about its scan."""
        keeping = store(checkpoint)
        memory = keeping._native if isinstance(keeping, MemoryStore) else None
        if options.get("on_bad_record") == "quarantine" and memory is not None:
            raise UsageError(
                'on_bad_record="quarantine" keeps records with the checkpoint; give checkpoint= a path'
            )
        return Stream(
            self._config(keeping._config(consumer(name)), options, scan),
            title=self.table,
            commit=commit,
            memory=memory,
            one_schema=self.schema is not None or self.images == "json",
        )

    def read(self, *, limit: int | None = None, **options: Unpack[ReadingOptions]) -> Table:
        """What is there now, as one table with one schema.

        With ``start="snapshot"`` these are the table's items, by a scan alone: it needs no stream, and
        an item changed meanwhile is there as it was before or after. Otherwise they are the changes that
        the stream still has.

        Args:
            limit: The most rows, whichever come first; a scan reads little more than that.
            **options: Those of `stream` that do not concern following or committing. What exceeds
                `memory_limit` rests in a temporary file.

        Raises:
            ShardArrowError: As `stream`, and whatever reading meets.
        """
        stream, table = self._reading(limit, options)
        with stream:
            for batch in stream:
                table.push(batch._native)
                if table.is_full:
                    break
            stream._fit(table)
        return Table(table)

    async def read_async(self, *, limit: int | None = None, **options: Unpack[ReadingOptions]) -> Table:
        """As `read`, for an event loop."""
        stream, table = self._reading(limit, options)
        async with stream:
            async for batch in stream:
                table.push(batch._native)
                if table.is_full:
                    break
            stream._fit(table)
        return Table(table)

    def _reading(self, limit: int | None, options: ReadingOptions) -> tuple[Stream, _native.Table]:
        for option in ("checkpoint", "name", "commit", "commit_interval", "follow"):
            if option in options:
                raise UsageError(f"read() takes no {option}=; use stream() to follow or to commit")
        most = None if limit is None else at_least_one("limit", limit)
        memory = size("memory_limit", options.get("memory_limit", STREAM_DEFAULTS["memory_limit"]))
        scan = {"scan_only": self.start == "snapshot", "limit": most}
        stream = self._stream(None, "default", "auto", scan, {"follow": False, **options})
        return stream, _native.Table(memory, most)

    def shards(self) -> list[Shard]:
        """The shards of the table's stream, parents before their children."""
        return _tree(self._listing().wait())

    async def shards_async(self) -> list[Shard]:
        """As `shards`, for an event loop."""
        listing = self._listing()
        return _tree(await wait(listing.bell, listing.poll))

    def _listing(self) -> _native.Listing:
        return _native.Listing(json_text.dumps(self._source_config()))

    def _examine(self) -> dict[str, Any]:
        """Tries each call once that reading this source needs: what came of it, for people to look at."""
        scans = self.start == "snapshot"
        asks_table = scans or not self._names_a_stream
        found: dict[str, Any] = json_text.loads(
            _native.examine(json_text.dumps(self._source_config()), asks_table, scans)
        )
        return found

    def _stream_for_loader(self, state: str | None, **options: Unpack[StreamOptions]) -> Stream:
        """A stream whose checkpoint a loader keeps with its data; `state` is what it found there."""
        keep = {"kind": "loader", "checkpoint": state}
        return Stream(self._config(keep, options), title=self.table, commit="manual")

    # The form in which this crosses to the core

    def _config(
        self,
        keep: Mapping[str, str | None],
        options: Mapping[str, Any],
        scan: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        if options.get("on_gap") == "resnapshot" and self._names_a_stream:
            raise UsageError(
                f'on_gap="resnapshot" scans a table again and follows its newest stream, but {self.table!r} '
                "is one stream; name the table instead"
            )
        start = start_config(self.start, self.others)
        snapshot = {**self._snapshot_config(), "limit": None, "scan_only": False, **(scan or {})}
        return {
            "source": self._source_config(),
            "decode": self._decode_config(options.get("on_bad_record", "fail")),
            "stream": stream_config(start, options, snapshot),
            "checkpoint": dict(keep),
        }

    def _snapshot_config(self) -> dict[str, Any]:
        return {
            "segments": segments_config(self.segments),
            "max_read_units": read_units_config(self.max_read_units),
        }

    @property
    def _names_a_stream(self) -> bool:
        return self.table.startswith("arn:") and "/stream/" in self.table

    def _source_config(self) -> dict[str, Any]:
        return {
            "table": self.table,
            "enable_stream": self.enable_stream,
            "connection": self._connection_config(),
        }

    def _connection_config(self) -> dict[str, str | float]:
        given = {name: value for name in (*_PLACE, *_TIMEOUTS) if (value := getattr(self, name)) is not None}
        return {name: seconds(name, value) if name in _TIMEOUTS else value for name, value in given.items()}

    def _decode_config(self, on_bad_record: str) -> dict[str, Any]:
        one_of("on_bad_record", on_bad_record, ("fail", "quarantine"))
        return {
            "schema": schema_config(self.schema),
            "columns": columns_config(self.columns),
            **{option: getattr(self, option) for option in _CHOICES},
            "old_image": bool(self.old_image),
            "metadata_prefix": self.metadata_prefix,
            "max_columns": count("max_columns", self.max_columns),
            "on_bad_record": on_bad_record,
        }

    def __repr__(self) -> str:
        given = (
            f"{field.name}={'…' if field.name in _SECRETS else repr(value)}"
            for field in fields(self)
            if field.name != "table" and (value := getattr(self, field.name)) != field.default
        )
        return f"dynamodb({', '.join([repr(self.table), *given])})"


def dynamodb(
    table: str,
    *,
    start: Start = "snapshot",
    others: Literal["earliest", "latest"] | None = None,
    segments: int | None = None,
    max_read_units: float | None = None,
    enable_stream: bool = False,
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
    session_token: str | None = None,
    role_arn: str | None = None,
    external_id: str | None = None,
    connect_timeout: float | timedelta | None = None,
    read_timeout: float | timedelta | None = None,
    attempt_timeout: float | timedelta | None = None,
    operation_timeout: float | timedelta | None = None,
    schema: ArrowSchema | Mapping[str, str] | None = None,
    columns: Sequence[str] | None = None,
    numbers: Literal["exact", "float64"] = "exact",
    nested: Literal["json", "struct"] = "json",
    json: Literal["text", "arrow.json"] = "text",
    images: Literal["columns", "json"] = "columns",
    old_image: bool = False,
    metadata_prefix: str = "_",
    max_columns: int = 1000,
) -> Source:
    """A DynamoDB table: what it holds, and then its changes from its stream. Nothing connects yet.

    What is not given of the connection comes from the standard AWS chain: environment, profile, single
    sign-on, container, instance, web identity.

    Args:
        table: The table's name, its ARN, or the ARN of its stream.
        start: From when, where the checkpoint knows nothing yet: ``"snapshot"`` scans the table and then
            follows its changes without a gap, ``"earliest"`` is the oldest record still in the stream,
            ``"latest"`` are changes made from now on; `at` or `after`, or a dict of shard → position, are
            exact places.
        others: Where the shards start that such places do not name; by default ``"earliest"``.
        segments: Into how many parts the scan is cut; by default as many as the table's size asks for.
        max_read_units: The most read capacity units per second that the scan may take.
        enable_stream: Whether to turn the table's stream on, with new and old images, when it is off.
        region: Such as ``"eu-west-1"``.
        endpoint_url: Where the service is, if not at AWS.
        profile: A profile of the AWS configuration files.
        access_key_id: With `secret_access_key`, and `session_token` if they are temporary.
        secret_access_key: See `access_key_id`.
        session_token: See `access_key_id`.
        role_arn: A role to assume.
        external_id: What the role's trust policy asks for.
        connect_timeout: Until a connection stands. Timeouts are seconds or a `timedelta`.
        read_timeout: Without a byte of the answer.
        attempt_timeout: For one request and its answer.
        operation_timeout: For a call with its retries.
        schema: Fixes the columns: a dict of name → type, or anything that exports `__arrow_c_schema__`.
        columns: Only these attributes, besides the keys.
        numbers: ``"exact"`` never rounds: int64, decimal or text. ``"float64"`` rounds, but never keys.
        nested: Maps and lists as plain JSON text, or as inferred structs and lists.
        json: How columns of JSON are marked: in the field's metadata, or with the extension type too.
        images: Columns, or key and images as DynamoDB JSON: lossless, one schema for ever.
        old_image: Whether to add what the item was before, as a struct.
        metadata_prefix: What the names of metadata columns begin with.
        max_columns: The most attributes that become columns; further ones go to ``_rest``.

    Raises:
        UsageError: An option cannot work.
    """
    return Source(**locals())


def source(text: str) -> Source:
    """The source that a URL names: ``dynamodb://orders?region=eu-west-1&segments=8``.

    It takes every option of `dynamodb`: ``schema`` as ``name:type`` pairs and ``columns`` as names, with
    commas; ``start`` also as ``after:SEQUENCE@SHARD``.

    Raises:
        UsageError: It is not such a URL. The error never shows credentials.
    """
    _, table, options = url.parse(text, ["dynamodb"])
    return Source(table=table, **url.convert(options, _CONVERTERS))  # type: ignore[arg-type]


_CONVERTERS: dict[str, Callable[[str, str], object]] = {
    **{field.name: url.text for field in fields(Source) if field.name != "table"},
    **dict.fromkeys(_TIMEOUTS, url.number),
    "start": url.start,
    "segments": url.whole,
    "max_read_units": url.amount,
    "enable_stream": url.flag,
    "schema": url.types,
    "columns": url.names,
    "old_image": url.flag,
    "max_columns": url.whole,
}


def _tree(rows: list[tuple[str, list[str], str | None, str | None]]) -> list[Shard]:
    """Parents before their children, otherwise in the order of the listing."""
    shards = {row[0]: Shard(row[0], tuple(row[1]), row[2], row[3]) for row in rows}
    ordered: dict[str, Shard] = {}
    for shard in shards.values():
        pending = [shard]
        while pending:
            last = pending[-1]
            unseen = [shards[id_] for id_ in last.parents if id_ in shards and id_ not in ordered]
            if unseen and len(pending) <= len(shards):
                pending.append(unseen[0])
            else:
                ordered[pending.pop().id] = last
    return list(ordered.values())
