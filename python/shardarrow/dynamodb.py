"""DynamoDB tables: what they hold, and their changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, Literal, Unpack

from shardarrow.errors import UsageError
from shardarrow.options import (
    KinesisStart,
    SourceOptions,
    Start,
    kinesis_start_config,
    late_margin_config,
    read_units_config,
    segments_config,
    start_config,
    stream_config,
)
from shardarrow.signatures import names_options
from shardarrow.source import DEFAULTS, Source


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class DynamoDB(Source):
    """A table. Make one with `dynamodb` or `source`."""

    table: str
    start: Start | KinesisStart = "snapshot"
    others: Literal["earliest", "latest"] | None = None
    segments: int | None = None
    max_read_units: float | None = None
    enable_stream: bool = False
    changes: str | None = None
    late_margin: float | timedelta = 3600.0

    _MADE_BY: ClassVar[str] = "dynamodb"
    _NAMED_BY: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Checks what can be checked without connecting."""
        if not isinstance(self.table, str) or not self.table:
            raise UsageError(f"the table must be a name or an ARN, not {self.table!r}")
        super().__post_init__()
        if not isinstance(self.enable_stream, bool):
            raise UsageError(f"enable_stream={self.enable_stream!r} must be True or False")
        if self.enable_stream and self._names_a_stream:
            raise UsageError(
                f"enable_stream=True turns the stream of a table on, but {self.table!r} is one stream; "
                "name the table instead"
            )
        self._check_changes()
        self._start_config()
        self._snapshot_config()

    def _check_changes(self) -> None:
        if self.changes is None:
            if self.fan_out is not None:
                raise UsageError(
                    f"fan_out={self.fan_out!r} is about a Kinesis stream, and DynamoDB Streams push nothing; "
                    'add changes="kinesis:STREAM" when the table sends its changes to one'
                )
            return
        scheme, _, name = str(self.changes).partition(":")
        if scheme != "kinesis" or not name:
            raise UsageError(
                f"changes={self.changes!r} must name the Kinesis stream to which the table sends them, "
                'such as "kinesis:orders-cdc", or be left out for DynamoDB Streams'
            )
        if self.enable_stream:
            raise UsageError(
                "enable_stream=True is about DynamoDB Streams, but changes= says that they come through "
                "Kinesis"
            )
        if self._names_a_stream:
            raise UsageError(
                f"changes= follows a table, but {self.table!r} is one of its streams; name the table"
            )

    @property
    def _kinesis_stream(self) -> str | None:
        return None if self.changes is None else self.changes.partition(":")[2]

    def _start_config(self) -> object:
        if self.changes is not None and self.start != "snapshot":
            return kinesis_start_config(self.start, self.others)
        return start_config(self.start, self.others)

    def _stream_config(self, options: Mapping[str, Any], scan: Mapping[str, Any]) -> dict[str, Any]:
        if options.get("on_gap") == "resnapshot" and self._names_a_stream:
            raise UsageError(
                f'on_gap="resnapshot" scans a table again and follows its newest stream, but {self.table!r} '
                "is one stream; name the table instead"
            )
        snapshot = {**self._snapshot_config(), **scan}
        return stream_config(self._start_config(), options, snapshot)

    def _snapshot_config(self) -> dict[str, Any]:
        return {
            "segments": segments_config(self.segments),
            "max_read_units": read_units_config(self.max_read_units),
            "late_margin": late_margin_config(self.late_margin),
        }

    @property
    def _is_unordered(self) -> bool:
        return self.changes is not None

    @property
    def _names_a_stream(self) -> bool:
        return self.table.startswith("arn:") and "/stream/" in self.table

    def _source_config(self) -> dict[str, Any]:
        table = {
            "table": self.table,
            "enable_stream": self.enable_stream,
            "connection": self._connection_config(),
        }
        if self._kinesis_stream is None:
            return {"dynamodb": table}
        stream = {
            "stream": self._kinesis_stream,
            "keys": [],
            "fan_out": self.fan_out,
            "connection": table["connection"],
        }
        return {"through": {"table": table, "stream": stream}}

    def _decode_config(self, on_bad_record: str) -> dict[str, Any]:
        decode = super()._decode_config(on_bad_record)
        if self._kinesis_stream is None:
            return decode
        return {**decode, "format": "dynamodb", "changes_of": self._default_table}

    def _scan(self, limit: int | None) -> dict[str, Any]:
        return {"scan_only": self.start == "snapshot", "limit": limit}

    def _check_mode(self, mode: str) -> None:
        if mode == "mirror" and self.images == "json":
            raise UsageError(
                "mode='mirror' needs the attributes as columns: leave images='json' out, or append"
            )

    @property
    def _default_table(self) -> str:
        """The table's name, also from its ARN or its stream's: ``arn:…:table/orders/stream/…``."""
        return self.table.split("/")[1] if self.table.startswith("arn:") and "/" in self.table else self.table

    def _examine(self) -> dict[str, Any]:
        scans = self.start == "snapshot"
        return self._tried(asks_table=scans or not self._names_a_stream, scans=scans)


@names_options(SourceOptions, DEFAULTS)
def dynamodb(
    table: str,
    *,
    start: Start | KinesisStart = "snapshot",
    others: Literal["earliest", "latest"] | None = None,
    segments: int | None = None,
    max_read_units: float | None = None,
    enable_stream: bool = False,
    changes: str | None = None,
    late_margin: float | timedelta = 3600.0,
    **options: Unpack[SourceOptions],
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
        changes: ``"kinesis:STREAM"`` when the table's changes are to be read from the Kinesis stream (its
            name or its ARN) to which DynamoDB sends them, instead of from DynamoDB Streams. They may come
            repeated and out of order; a mirror puts them in order. The words of `start` are then also those
            of `kinesis`.
        late_margin: With `changes` and a snapshot: from how long before it the Kinesis stream is read, at
            least 5 minutes. A change that comes later than that is left out, because the snapshot has it.
        **options: What every source takes:
        fan_out: With `changes`: the name of a consumer of the Kinesis stream, which is registered where the
            stream has none of that name, or the ARN of one that is. The service pushes the changes to it
            instead of being polled for them. No two readers can share a consumer. It stays registered until
            `deregister`.
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
    return DynamoDB._made(locals())
