"""Kinesis streams: records as they were put there, or a table's changes that DynamoDB sent there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Unpack

from shardarrow.checks import at_least_one
from shardarrow.errors import UsageError
from shardarrow.options import (
    STREAM_DEFAULTS,
    KinesisStart,
    SourceOptions,
    keys_config,
    kinesis_start_config,
    stream_config,
)
from shardarrow.signatures import names_options
from shardarrow.source import DEFAULTS, Source


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Kinesis(Source):
    """A Kinesis stream. Make one with `kinesis` or `source`."""

    name: str
    format: Literal["bytes", "json", "dynamodb"] = "bytes"
    keys: Mapping[str, str] | None = None
    changes_of: str | None = None
    start: KinesisStart = "earliest"
    others: Literal["earliest", "latest"] | None = None
    create_shards: int | None = None
    reading: Mapping[str, Any] | None = None
    """Options of a stream that hold where none are given; a URL in another tool's form has them."""

    _MADE_BY: ClassVar[str] = "kinesis"
    _NAMED_BY: ClassVar[str] = "name"
    _CHOICES: ClassVar[Mapping[str, Sequence[str]]] = {
        **Source._CHOICES,
        "format": ("bytes", "json", "dynamodb"),
    }

    def __post_init__(self) -> None:
        """Checks what can be checked without connecting."""
        if not isinstance(self.name, str) or not self.name:
            raise UsageError(f"the stream must be a name or an ARN, not {self.name!r}")
        super().__post_init__()
        if self.create_shards is not None:
            at_least_one("create_shards", self.create_shards)
        if self.format != "dynamodb":
            for option, given in (
                ("keys", self.keys is not None),
                ("changes_of", self.changes_of is not None),
                ("images", self.images != "columns"),
                ("old_image", self.old_image),
            ):
                if given:
                    raise UsageError(
                        f'{option}= is about the changes of a table: it needs format="dynamodb", not '
                        f'format="{self.format}"'
                    )
        keys_config(self.keys)
        kinesis_start_config(self.start, self.others)

    @property
    def _kinesis_stream(self) -> str:
        return self.name

    def _source_config(self) -> dict[str, Any]:
        stream = {
            "stream": self.name,
            "keys": keys_config(self.keys),
            "fan_out": self.fan_out,
            "create_shards": self.create_shards,
            "connection": self._connection_config(),
        }
        return {"kinesis": stream}

    def _stream_config(self, options: Mapping[str, Any], scan: Mapping[str, Any]) -> dict[str, Any]:
        if options.get("on_gap") == "resnapshot":
            raise UsageError(
                'on_gap="resnapshot" scans a table again, and a Kinesis stream has none; '
                'pass "fail" or "continue"'
            )
        given = {name: value for name, value in options.items() if value != STREAM_DEFAULTS.get(name)}
        options = {**options, **(self.reading or {}), **given}
        return stream_config(kinesis_start_config(self.start, self.others), options, scan)

    def _decode_config(self, on_bad_record: str) -> dict[str, Any]:
        return {**super()._decode_config(on_bad_record), "changes_of": self.changes_of}

    @property
    def _has_one_schema(self) -> bool:
        """Keys that are learned from the first change are columns that nobody declared."""
        if self.format == "dynamodb" and self.images == "columns" and self.keys is None:
            return False
        return self.format == "bytes" or super()._has_one_schema

    def _check_mode(self, mode: str) -> None:
        if mode != "mirror":
            return
        if self.format == "dynamodb" and self.images == "columns":
            return
        if self.format == "dynamodb":
            raise UsageError(
                "mode='mirror' needs the attributes as columns: leave images='json' out, or append"
            )
        raise UsageError(
            "mode='mirror' needs changes with keys, and the records of a Kinesis stream have none; "
            "pass mode='append'"
        )

    @property
    def _is_unordered(self) -> bool:
        return self.format == "dynamodb"

    @property
    def _default_table(self) -> str:
        """The stream's name, also from its ARN: ``arn:…:stream/clicks``."""
        return self.name.rpartition("/")[2] if self.name.startswith("arn:") else self.name


@names_options(SourceOptions, DEFAULTS)
def kinesis(
    name: str,
    *,
    format: Literal["bytes", "json", "dynamodb"] = "bytes",  # noqa: A002 - the word of the service's users
    keys: Mapping[str, str] | None = None,
    changes_of: str | None = None,
    start: KinesisStart = "earliest",
    others: Literal["earliest", "latest"] | None = None,
    create_shards: int | None = None,
    **options: Unpack[SourceOptions],
) -> Kinesis:
    """A Kinesis stream: its records, polled for or pushed. Nothing connects yet.

    Without `fan_out` every shard is read at most 5 times and 2 MB a second, as the service allows. With
    it (enhanced fan-out) the service pushes 2 MB a second of each shard to this consumer alone. Records
    that the Kinesis Producer Library aggregated are always taken apart.

    Args:
        name: The stream's name or its ARN.
        format: What the records are. ``"bytes"``: the partition key and the data as they came. ``"json"``:
            JSON objects, whose members become columns. ``"dynamodb"``: changes that a table sends here.
        keys: With ``format="dynamodb"``: the table's keys, such as ``{"customer": "S", "order": "N"}``.
            Without them they are learned from the first change.
        changes_of: With ``format="dynamodb"``: only changes of this table, where several send theirs here.
        start: From when, where the checkpoint knows nothing yet: ``"earliest"`` is the oldest record still in
            the stream, ``"latest"`` are records that arrive from now on, a `datetime` is a moment of arrival;
            `at` or `after`, or a dict of shard → position, are exact places.
        others: Where the shards start that such places do not name; by default ``"earliest"``.
        create_shards: With how many shards the stream is made when it is not there; by default that is an
            error.
        **options: What every source takes:
        fan_out: The name of a consumer, which is registered where the stream has none of that name, or
            the ARN of one that is. No two readers can share a consumer. It stays registered until
            `deregister`.
        region: Such as ``"eu-west-1"``. The connection's options are those of `dynamodb`.
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
        columns: Only these members or attributes, besides the keys.
        numbers: ``"exact"`` never rounds: int64, decimal or text. ``"float64"`` rounds, but never keys.
        nested: Maps and lists as plain JSON text, or as inferred structs and lists.
        json: How columns of JSON are marked: in the field's metadata, or with the extension type too.
        images: With ``format="dynamodb"``: columns, or key and images as DynamoDB JSON.
        old_image: With ``format="dynamodb"``: whether to add what the item was before, as a struct.
        metadata_prefix: What the names of metadata columns begin with.
        max_columns: The most members or attributes that become columns; further ones go to ``_rest``.

    Raises:
        UsageError: An option cannot work.
    """
    return Kinesis._made(locals())
