"""What every source can do. A source is a cheap description: nothing connects before it is read."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self, Unpack

from shardarrow import _native
from shardarrow.batch import Table
from shardarrow.checkpoint import Checkpoint, MemoryStore, consumer, store
from shardarrow.checks import at_least_one, count, known_options, one_of, size
from shardarrow.errors import UsageError
from shardarrow.options import (
    SECRETS,
    STREAM_DEFAULTS,
    ArrowSchema,
    ReadingOptions,
    SourceOptions,
    StreamOptions,
    columns_config,
    connection_config,
    schema_config,
)
from shardarrow.shards import Shard, tree
from shardarrow.signatures import names_options
from shardarrow.stream import Stream
from shardarrow.waiting import wait


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Source:
    """A description of where records come from. Make one with `dynamodb`, `kinesis` or `source`."""

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
    fan_out: str | None = None
    schema: ArrowSchema | Mapping[str, str] | None = None
    columns: Sequence[str] | None = None
    numbers: Literal["exact", "float64"] = "exact"
    nested: Literal["json", "struct"] = "json"
    json: Literal["text", "arrow.json"] = "text"
    images: Literal["columns", "json"] = "columns"
    old_image: bool = False
    metadata_prefix: str = "_"
    max_columns: int = 1000

    # The function that makes such a source, and the field that it takes by place.
    _MADE_BY: ClassVar[str]
    _NAMED_BY: ClassVar[str]
    _CHOICES: ClassVar[Mapping[str, Sequence[str]]] = {
        "numbers": ("exact", "float64"),
        "nested": ("json", "struct"),
        "json": ("text", "arrow.json"),
        "images": ("columns", "json"),
    }

    def __post_init__(self) -> None:
        """Checks what can be checked without connecting."""
        for option, choices in self._CHOICES.items():
            one_of(option, getattr(self, option), choices)
        if not isinstance(self.metadata_prefix, str):
            raise UsageError("metadata_prefix= must be a text")
        if not isinstance(self.fan_out, str | None) or self.fan_out == "":
            raise UsageError(f"fan_out= must be a consumer's name or its ARN, not {self.fan_out!r}")
        self._decode_config("fail")
        self._connection_config()

    @classmethod
    def _made(cls, given: dict[str, Any]) -> Self:
        """What the function `_MADE_BY` was given, by name; its `options` are `SourceOptions`."""
        options = given.pop("options")
        known_options(cls._MADE_BY, options, [*given, *SourceOptions.__annotations__])
        return cls(**given, **options)

    @property
    def _name(self) -> str:
        """What the user named: a name or an ARN."""
        return str(getattr(self, self._NAMED_BY))

    @property
    def _kinesis_stream(self) -> str | None:
        """The Kinesis stream that is read, if one is, by its name or its ARN."""
        return None

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
            title=self._name,
            commit=commit,
            memory=memory,
            one_schema=self._has_one_schema,
        )

    @names_options(ReadingOptions, STREAM_DEFAULTS)
    def read(self, *, limit: int | None = None, **options: Unpack[ReadingOptions]) -> Table:
        """What is there now, as one table with one schema.

        With ``start="snapshot"`` these are the table's items, by a scan alone: it needs no stream, and
        an item changed meanwhile is there as it was before or after. Otherwise they are the changes, or
        the records, that the stream still has.

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

    @names_options(ReadingOptions, STREAM_DEFAULTS)
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
        stream = self._stream(None, "default", "auto", self._scan(most), {"follow": False, **options})
        return stream, _native.Table(memory, most)

    def shards(self) -> list[Shard]:
        """The shards of the stream, parents before their children."""
        return tree(self._listing().wait())

    async def shards_async(self) -> list[Shard]:
        """As `shards`, for an event loop."""
        listing = self._listing()
        return tree(await wait(listing.bell, listing.poll))

    def _listing(self) -> _native.Listing:
        return _native.Listing(json_text.dumps(self._source_config()))

    def deregister(self) -> None:
        """Removes the consumer that `fan_out` names from the stream, which nothing else ever does.

        A registered consumer costs by the hour. Whoever reads through it stops, and registers it anew
        when its name was given. One that is not there is as good as removed.

        Raises:
            UsageError: The source has no `fan_out`.
            ShardArrowError: The service refused it, or was not reached.
        """
        _native.deregister(json_text.dumps(self._source_config()))

    def _stream_for_loader(
        self, state: str | None, *, mode: str = "append", **options: Unpack[StreamOptions]
    ) -> Stream:
        """A stream whose checkpoint a loader keeps with its data; `state` is what it found there."""
        keep = {"kind": "loader", "checkpoint": state}
        config = self._config(keep, options)
        config["decode"]["image_hashes"] = mode == "mirror" and self._is_unordered
        return Stream(config, title=self._name, commit="manual")

    @property
    def _is_unordered(self) -> bool:
        """Whether changes of one key may come repeated and out of order."""
        return False

    # The form in which this crosses to the core

    def _config(
        self,
        keep: Mapping[str, str | None],
        options: Mapping[str, Any],
        scan: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        return {
            "source": self._source_config(),
            "decode": self._decode_config(options.get("on_bad_record", "fail")),
            "stream": self._stream_config(options, scan or {}),
            "checkpoint": dict(keep),
        }

    # What each kind of source says for itself

    def _source_config(self) -> dict[str, Any]:
        raise NotImplementedError

    def _stream_config(self, options: Mapping[str, Any], scan: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a stream; `scan` says what is special about its scan."""
        raise NotImplementedError

    @property
    def _has_one_schema(self) -> bool:
        """Whether the columns are known before the first record and never change."""
        return self.schema is not None or self.images == "json"

    def _examine(self) -> dict[str, Any]:
        """Tries each call once that reading this source needs: what came of it, for people to look at."""
        return self._tried(asks_table=False, scans=False)

    def _tried(self, *, asks_table: bool, scans: bool) -> dict[str, Any]:
        config = json_text.dumps(self._source_config())
        found: dict[str, Any] = json_text.loads(_native.examine(config, asks_table, scans))
        return found

    def _scan(self, limit: int | None) -> dict[str, Any]:
        """What is special about the scan of a read that takes at most `limit` rows."""
        del limit
        return {}

    def _check_mode(self, mode: str) -> None:
        """Whether it can be loaded so.

        Raises:
            UsageError: It cannot; the sentence says what can be done.
        """
        raise NotImplementedError

    @property
    def _default_table(self) -> str:
        """What a destination calls it when nobody says."""
        raise NotImplementedError

    def _connection_config(self) -> dict[str, str | float]:
        return connection_config(vars(self))

    def _decode_config(self, on_bad_record: str) -> dict[str, Any]:
        one_of("on_bad_record", on_bad_record, ("fail", "quarantine"))
        return {
            "schema": schema_config(self.schema),
            "columns": columns_config(self.columns),
            **{option: getattr(self, option) for option in self._CHOICES},
            "old_image": bool(self.old_image),
            "metadata_prefix": self.metadata_prefix,
            "max_columns": count("max_columns", self.max_columns),
            "on_bad_record": on_bad_record,
        }

    def __repr__(self) -> str:
        given = (
            f"{field.name}={'…' if field.name in SECRETS else repr(value)}"
            for field in fields(self)
            if field.name != self._NAMED_BY and (value := getattr(self, field.name)) != field.default
        )
        return f"{self._MADE_BY}({', '.join([repr(self._name), *given])})"


DEFAULTS = {field.name: field.default for field in fields(Source)}
