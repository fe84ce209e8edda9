"""Options as people write them, and the form in which they cross to the core."""

import datetime
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol, TypedDict

from shardarrow import _native
from shardarrow.checkpoint import Position
from shardarrow.checks import at_least_one, count, nearest, one_of, seconds, size
from shardarrow.errors import UsageError

SECRETS = ("access_key_id", "secret_access_key", "session_token", "external_id")
PLACE = ("region", "endpoint_url", "profile", *SECRETS, "role_arn")
TIMEOUTS = ("connect_timeout", "read_timeout", "attempt_timeout", "operation_timeout")

# `TotalSegments` of Scan is 1 to 1,000,000 (API reference).
_MOST_SEGMENTS = 1_000_000

# The stream keeps 24 hours: a slice must leave time to read what came meanwhile.
_LONGEST_SLICE = 12 * 3600.0

_LEAST_MARGIN = 300.0
# "Up to 8760 hours" (API reference of Kinesis, IncreaseStreamRetentionPeriod).
_LONGEST_RETENTION = 8760 * 3600.0


class ArrowSchema(Protocol):
    """Anything that says its columns through the Arrow C data interface."""

    def __arrow_c_schema__(self) -> object:
        """A capsule named ``arrow_schema``."""


Start = str | Position | Mapping[str, Position]
KinesisStart = str | datetime.datetime | Position | Mapping[str, Position]


class ConnectionOptions(TypedDict, total=False):
    """Where the service is, as whom it is asked, and how long to wait. `dynamodb` says what they mean."""

    region: str | None
    endpoint_url: str | None
    profile: str | None
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None
    role_arn: str | None
    external_id: str | None
    connect_timeout: float | timedelta | None
    read_timeout: float | timedelta | None
    attempt_timeout: float | timedelta | None
    operation_timeout: float | timedelta | None


class SourceOptions(ConnectionOptions, total=False):
    """What every source takes: the connection, and what its columns are. `dynamodb` says what they mean."""

    fan_out: str | None
    schema: ArrowSchema | Mapping[str, str] | None
    columns: Sequence[str] | None
    numbers: Literal["exact", "float64"]
    nested: Literal["json", "struct"]
    json: Literal["text", "arrow.json"]
    images: Literal["columns", "json"]
    old_image: bool
    metadata_prefix: str
    max_columns: int


class ReadingOptions(TypedDict, total=False):
    """How a stream reads, whatever is done with its batches. `Source.stream` says what they mean."""

    settle: float | timedelta
    batch_rows: int
    batch_bytes: int | str
    batch_wait: float | timedelta
    memory_limit: int | str
    on_gap: Literal["fail", "resnapshot", "continue"]
    on_bad_record: Literal["fail", "quarantine"]
    poll_interval: float | timedelta
    discovery_interval: float | timedelta
    stall_timeout: float | timedelta
    snapshot_slice: float | timedelta


class StreamOptions(ReadingOptions, total=False):
    """Those of a stream that may follow for ever."""

    follow: bool
    commit_interval: float | timedelta


STREAM_DEFAULTS: StreamOptions = {
    "follow": True,
    "settle": 10.0,
    "commit_interval": 1.0,
    "batch_rows": 65536,
    "batch_bytes": "16MiB",
    "batch_wait": 0.1,
    "memory_limit": "256MiB",
    "on_gap": "fail",
    "on_bad_record": "fail",
    "poll_interval": 1.0,
    "discovery_interval": 60.0,
    "stall_timeout": 300.0,
    "snapshot_slice": 900.0,
}


def segments_config(segments: object) -> int | None:
    """Into how many parts the scan of a table is cut; `None` leaves it to the table's size.

    Raises:
        UsageError: The service takes no such number.
    """
    if segments is not None and at_least_one("segments", segments) > _MOST_SEGMENTS:
        raise UsageError(f"segments={segments!r} must be at most {_MOST_SEGMENTS:,}")
    return None if segments is None else count("segments", segments)


def read_units_config(units: object) -> float | None:
    """Read capacity units per second; `None` for no limit.

    Raises:
        UsageError: It is not a number above 0.
    """
    if units is None:
        return None
    if isinstance(units, bool) or not isinstance(units, int | float) or not 0 < units < math.inf:
        raise UsageError(f"max_read_units={units!r} must be a number of read units per second, above 0")
    return float(units)


def late_margin_config(value: float | timedelta) -> float:
    """How long before a snapshot its changes are read.

    Raises:
        UsageError: It is too short for the clocks of two services, or longer than any stream keeps records.
    """
    margin = seconds("late_margin", value)
    if not _LEAST_MARGIN <= margin <= _LONGEST_RETENTION:
        raise UsageError(f"late_margin={value!r} must be at least 5 minutes and at most 365 days")
    return margin


def _slice(value: float | timedelta) -> float:
    slice_ = seconds("snapshot_slice", value)
    if not 0 < slice_ <= _LONGEST_SLICE:
        raise UsageError(
            f"snapshot_slice={value!r} must be above 0 and at most 12 hours: the stream keeps changes for 24"
        )
    return slice_


def stream_config(
    start: object, options: Mapping[str, Any], snapshot: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The options of a stream, with defaults for those not given; `snapshot` are those of its scan.

    Raises:
        UsageError: An option is unknown or cannot work.
    """
    for option in options:
        if option not in STREAM_DEFAULTS:
            raise UsageError(f"a stream has no option {option!r}{nearest(option, STREAM_DEFAULTS)}")
    all_options: dict[str, Any] = {**STREAM_DEFAULTS, **options}
    del all_options["on_bad_record"]
    one_of("on_gap", all_options["on_gap"], ("fail", "resnapshot", "continue"))
    slice_ = _slice(all_options.pop("snapshot_slice"))
    for option, value in all_options.items():
        match option:
            case "follow" | "on_gap":
                pass
            case "batch_rows":
                all_options[option] = count(option, value)
            case "batch_bytes" | "memory_limit":
                all_options[option] = size(option, value)
            case _:
                all_options[option] = seconds(option, value)
    all_options["follow"] = bool(all_options["follow"])
    scan = {"segments": None, "max_read_units": None, "limit": None, "scan_only": False, **(snapshot or {})}
    return {"start": start, **all_options, "snapshot": {**scan, "slice": slice_}}


def start_config(start: object, others: str | None) -> object:
    """Where to start with a table, as the core reads it.

    Raises:
        UsageError: DynamoDB Streams cannot start there.
    """
    words = ("snapshot", "earliest", "latest")
    if isinstance(start, datetime.date):
        raise UsageError(
            "DynamoDB Streams cannot start at a moment; "
            'pass start="snapshot", "earliest", "latest", sa.at(...) or sa.after(...)'
        )
    config = _start(start, others, words, "DynamoDB Streams")
    for position in config["positions"]["positions"] if isinstance(config, dict) else ():
        if ":" in position["sequence"]:
            raise UsageError(
                f"start names {position['sequence']!r}, but only Kinesis has records within records; "
                "leave out the colon and what is behind it"
            )
    return config


def kinesis_start_config(start: object, others: str | None) -> object:
    """Where to start with a Kinesis stream, as the core reads it.

    Raises:
        UsageError: Kinesis cannot start there.
    """
    match start:
        case datetime.datetime() if start.tzinfo is None:
            raise UsageError(
                f"start={start!r} has no time zone; say which it is, such as datetime(..., tzinfo=UTC)"
            )
        case datetime.datetime() if others is not None:
            raise UsageError("others= belongs to positions; a moment says for every shard where it starts")
        case datetime.datetime():
            since = start - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
            # Not before the moment: records have whole milliseconds.
            return {"time": {"moment": -(-since // timedelta(milliseconds=1))}}
        case datetime.date():
            raise UsageError(f"start={start!r} is a day; pass a datetime with a time zone")
        case "snapshot":
            raise UsageError(
                'start="snapshot" scans a table, and a Kinesis stream has none; pass "earliest", "latest" '
                "or a datetime"
            )
    return _start(start, others, ("earliest", "latest"), "Kinesis")


def _start(start: object, others: str | None, words: Sequence[str], service: str) -> Any:
    known = ", ".join(f'"{word}"' for word in words)
    match start:
        case Position():
            positions = [_position(start, start.shard)]
        case Mapping():
            positions = [_position(position, shard) for shard, position in start.items()]
        case str() if start in words and others is not None:
            raise UsageError(
                f'others= says where shards start that positions in start= do not name; start="{start}" '
                "says it for every shard"
            )
        case str() if start in words:
            return start
        case _:
            moment = ", a datetime" if service == "Kinesis" else ""
            raise UsageError(
                f"start={start!r} is not a place to start in {service}; "
                f"pass {known}{moment}, sa.at(...), sa.after(...) or a dict of shard → "
                "position"
            )
    if not positions:
        raise UsageError(f"start={{}} names no shard; name one, or pass one of {known}")
    one_of("others", others or "earliest", ("earliest", "latest"))
    return {"positions": {"positions": positions, "others": others or "earliest"}}


def _position(position: object, shard: str | None) -> dict[str, Any]:
    if not isinstance(position, Position) or position.sequence is None:
        raise UsageError(f"{position!r} is not a position; make one with sa.at(...) or sa.after(...)")
    return {"shard": shard, "kind": position.kind, "sequence": position.sequence}


def keys_config(keys: Mapping[str, str] | None) -> list[dict[str, str]]:
    """The key attributes of changes that come without a table to ask, hash key first.

    Raises:
        UsageError: They are not one or two names with their DynamoDB types.
    """
    if keys is None:
        return []
    if not isinstance(keys, Mapping) or not 1 <= len(keys) <= 2:
        raise UsageError(
            'keys= must be a dict of one or two names → "S", "N" or "B", the hash key first, such as '
            '{"customer": "S", "order": "N"}'
        )
    for name, kind in keys.items():
        if not isinstance(name, str) or not name:
            raise UsageError(f"keys= names attributes, not {name!r}")
        one_of(f"keys[{name!r}]", kind, ("S", "N", "B"))
    return [{"name": name, "type": kind} for name, kind in keys.items()]


def schema_config(schema: ArrowSchema | Mapping[str, str] | None) -> list[dict[str, str]] | None:
    """The declared columns as names and types in words.

    Raises:
        UsageError: It is neither a dict nor an Arrow schema.
    """
    if schema is None:
        return None
    if isinstance(schema, Mapping):
        columns = list(schema.items())
    elif hasattr(schema, "__arrow_c_schema__"):
        columns = _native.schema_words(schema)
    else:
        raise UsageError("schema= must be a dict of name → type, or export __arrow_c_schema__")
    for name, kind in columns:
        if not (isinstance(name, str) and isinstance(kind, str)):
            raise UsageError(
                f'schema= maps names to types in words, such as "int64", not {name!r} to {kind!r}'
            )
    return [{"name": name, "type": kind} for name, kind in columns]


def columns_config(columns: Sequence[str] | None) -> list[str] | None:
    """The names of the wanted attributes.

    Raises:
        UsageError: They are not names.
    """
    if columns is None:
        return None
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise UsageError("columns= must be a list of attribute names")
    return list(columns)


def connection_config(given: Mapping[str, object]) -> dict[str, str | float]:
    """The options of a connection that have a value; others among `given` are passed over.

    Raises:
        UsageError: One cannot work.
    """
    known: dict[str, str | float] = {}
    for option in (*PLACE, *TIMEOUTS):
        value = given.get(option)
        if value is None:
            continue
        if option in TIMEOUTS:
            known[option] = seconds(option, value)  # type: ignore[arg-type]
        elif isinstance(value, str):
            known[option] = value
        else:
            raise UsageError(f"{option}= must be a text")
    return known
