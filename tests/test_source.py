"""Sources, their options and their URLs: what can be said without connecting."""

import datetime
import inspect
import json
import pickle
import subprocess
import sys
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

import shardarrow as sa
from shardarrow import errors
from shardarrow.source import Source

TABLE_ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"
STREAM_ARN = f"{TABLE_ARN}/stream/2026-01-01T00:00:00.000"
SECRETS = {
    "access_key_id": "AKIAHIDDEN",
    "secret_access_key": "hidden/+secret",
    "session_token": "hiddentoken",
    "role_arn": "arn:aws:iam::123456789012:role/reader",
    "external_id": "hiddenid",
}


def refusal(make: object, *arguments: object, **options: object) -> str:
    with pytest.raises(sa.UsageError) as caught:
        make(*arguments, **options)  # type: ignore[operator]
    assert isinstance(caught.value, ValueError)
    assert caught.value.kind == "usage"
    return str(caught.value)


def test_importing_needs_no_other_package() -> None:
    code = (
        "import sys; before = set(sys.modules); import shardarrow; "
        "foreign = {n.partition('.')[0] for n in set(sys.modules) - before} - set(sys.stdlib_module_names); "
        "print(sorted(foreign))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "['shardarrow']"


def test_names_that_do_not_work_yet_are_absent() -> None:
    for name in ("DynamoDBStore",):
        assert name not in sa.__all__
        with pytest.raises(AttributeError):
            getattr(sa, name)


def test_an_unknown_option_is_named_with_the_nearest_one() -> None:
    with pytest.raises(TypeError, match=r"dynamodb.*'enable_streams'; did you mean 'enable_stream'"):
        sa.dynamodb("orders", enable_streams=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"kinesis.*'fanout'; did you mean 'fan_out'"):
        sa.kinesis("clicks", fanout="app")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"KinesisWriter.*'regin'; did you mean 'region'"):
        sa.KinesisWriter("clicks", regin="eu-west-1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'partitionkey'; did you mean 'partition_key'"):
        sa.KinesisWriter("clicks", partitionkey="user")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'reading'"):
        sa.kinesis("clicks", reading={})  # type: ignore[call-arg]


def test_the_repr_shows_what_was_given_and_no_secret() -> None:
    source = sa.dynamodb("orders", start="latest", region="eu-west-1", **SECRETS)  # type: ignore[arg-type]
    assert repr(sa.dynamodb("orders", start="latest")) == "dynamodb('orders', start='latest')"
    assert "region='eu-west-1'" in repr(source)
    assert "hidden" not in repr(source).lower()
    assert "hidden" not in repr(source.stream()).lower()
    assert "hidden" not in source.stream()._repr_html_().lower()


def test_without_start_a_table_begins_with_its_snapshot() -> None:
    source = sa.dynamodb("orders")
    assert source.start == sa.source("dynamodb://orders").start == "snapshot"
    assert repr(source) == repr(sa.dynamodb("orders", start="snapshot")) == "dynamodb('orders')"
    assert config_of(source.stream())["stream"]["start"] == "snapshot"


def config_of(stream: sa.Stream) -> dict[str, Any]:
    """What crosses to the core."""
    config: dict[str, Any] = json.loads(str(stream._config))
    return config


def test_the_options_of_a_snapshot_cross_to_the_core() -> None:
    source = sa.dynamodb("orders", segments=8, max_read_units=12.5, enable_stream=True)
    config = config_of(source.stream(snapshot_slice=datetime.timedelta(minutes=1)))
    assert config["stream"]["snapshot"] == {
        "segments": 8,
        "max_read_units": 12.5,
        "slice": 60.0,
        "limit": None,
        "scan_only": False,
        "late_margin": 3600.0,
    }
    assert config["source"]["dynamodb"]["enable_stream"] is True
    assert config_of(sa.dynamodb("orders").stream())["stream"]["snapshot"] == {
        "segments": None,
        "max_read_units": None,
        "slice": 900.0,
        "limit": None,
        "scan_only": False,
        "late_margin": 3600.0,
    }
    assert config_of(sa.dynamodb("orders").stream())["source"]["dynamodb"]["enable_stream"] is False


@pytest.mark.parametrize(("start", "scan_only"), [("snapshot", True), ("earliest", False)])
def test_read_is_a_scan_alone_where_a_stream_would_begin_with_one(start: str, scan_only: bool) -> None:
    stream, _ = sa.dynamodb("orders", start=start)._reading(5, {})
    snapshot = config_of(stream)["stream"]["snapshot"]
    assert (snapshot["scan_only"], snapshot["limit"]) == (scan_only, 5)


@pytest.mark.parametrize(
    ("table", "options", "named"),
    [
        ("orders", {"on_gap": "resnapshot"}, None),
        (TABLE_ARN, {"on_gap": "resnapshot"}, None),
        (STREAM_ARN, {"on_gap": "resnapshot"}, "name the table"),
        (STREAM_ARN, {"on_gap": "fail"}, None),
    ],
)
def test_a_table_is_needed_to_scan_it_again(table: str, options: dict[str, Any], named: str | None) -> None:
    source = sa.dynamodb(table, start="earliest")
    for make in (source.stream, partial(source._stream_for_loader, None)):
        if named is None:
            make(**options)
        else:
            assert named in refusal(make, **options)


def test_a_stream_that_exists_cannot_be_turned_on() -> None:
    sa.dynamodb(TABLE_ARN, enable_stream=True)
    assert "name the table" in refusal(sa.dynamodb, STREAM_ARN, enable_stream=True)


@pytest.mark.parametrize(
    ("start", "named"),
    [
        (None, '"snapshot"'),
        ("snapshots", '"snapshot"'),
        ("erliest", '"earliest"'),
        (datetime.datetime.now(datetime.UTC), "at a moment"),
        (datetime.date(2026, 1, 1), "at a moment"),
        (17, "sa.at"),
        ({}, "names no shard"),
        ({"shard-1": "123"}, "sa.at"),
    ],
)
def test_a_start_that_cannot_work_names_what_can(start: object, named: str) -> None:
    assert named in refusal(sa.dynamodb, "orders", start=start)


@pytest.mark.parametrize("sequence", ["", "12a", "-1", "1" * 130, "१२"])
def test_a_sequence_number_is_checked(sequence: str) -> None:
    assert "sequence number" in refusal(sa.at, sequence)
    assert "sequence number" in refusal(sa.after, sequence)


def test_others_belongs_to_positions() -> None:
    sa.dynamodb("orders", start=sa.at("123", shard="shard-1"), others="latest")
    assert "others=" in refusal(sa.dynamodb, "orders", others="latest")
    for start in ("snapshot", "earliest", "latest"):
        assert "others=" in refusal(sa.dynamodb, "orders", start=start, others="latest")
    assert "others=" in refusal(sa.dynamodb, "orders", start=sa.at("1"), others="oldest")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"numbers": "float"}, '"float64"'),
        ({"nested": "structs"}, "'struct'"),
        ({"json": "arrow"}, '"arrow.json"'),
        ({"images": "columns "}, '"columns"'),
        ({"max_columns": -1}, "max_columns"),
        ({"columns": "abc"}, "columns="),
        ({"schema": 3}, "schema="),
        ({"schema": {"a": 3}}, "'a'"),
        ({"connect_timeout": -1}, "connect_timeout"),
        ({"read_timeout": "1s"}, "read_timeout"),
        ({"region": 3}, "region"),
        ({"metadata_prefix": None}, "metadata_prefix"),
        ({"segments": 0}, "segments=0"),
        ({"segments": 1_000_001}, "1,000,000"),
        ({"segments": "4"}, "segments="),
        ({"max_read_units": 0}, "max_read_units=0"),
        ({"max_read_units": float("inf")}, "max_read_units="),
        ({"max_read_units": "5"}, "max_read_units="),
        ({"enable_stream": "yes"}, "enable_stream="),
    ],
)
def test_an_option_of_a_source_is_checked_at_once(options: dict[str, object], named: str) -> None:
    assert named in refusal(sa.dynamodb, "orders", **options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"commit": "never"}, '"manual"'),
        ({"on_gap": "scan"}, '"resnapshot"'),
        ({"snapshot_slice": 0}, "snapshot_slice=0"),
        ({"snapshot_slice": datetime.timedelta(hours=13)}, "12 hours"),
        ({"on_bad_record": "skip"}, '"quarantine"'),
        ({"on_bad_record": "quarantine"}, "checkpoint"),
        ({"memory_limit": "lots"}, "memory_limit"),
        ({"batch_bytes": "16 parsecs"}, "batch_bytes"),
        ({"batch_rows": 1.5}, "batch_rows"),
        ({"batch_rows": 2**64}, "batch_rows"),
        ({"batch_bytes": 2**64}, "batch_bytes"),
        ({"commit_interval": float("nan")}, "commit_interval"),
        ({"settle": datetime.timedelta(seconds=-1)}, "settle"),
        ({"name": ""}, "name="),
        ({"checkpoint": 3}, "checkpoint="),
        ({"checkpoint": "/"}, "folder"),
    ],
)
def test_an_option_of_a_stream_is_checked_before_connecting(options: dict[str, object], named: str) -> None:
    assert named in refusal(sa.dynamodb("orders", start="earliest").stream, **options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"memory_limit": "63MiB"}, "64 MiB"),
        ({"batch_rows": 0}, "batch_rows"),
        ({"poll_interval": 1e9}, "poll_interval"),
    ],
)
def test_a_limit_is_checked_on_opening(options: dict[str, object], named: str) -> None:
    stream = sa.dynamodb("orders", start="earliest").stream(**options)  # type: ignore[arg-type]
    assert named in refusal(stream.__enter__)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("256MiB", 256 << 20),
        ("0.5 GiB", 1 << 29),
        ("100MB", 10**8),
        (1 << 27, 1 << 27),
        ("67108864", 1 << 26),
    ],
)
def test_sizes_are_bytes_or_text(text: int | str, bytes_: int) -> None:
    stream = sa.dynamodb("orders", start="earliest").stream(memory_limit=text)
    assert f'"memory_limit": {bytes_},' in str(stream._config)


def test_durations_are_seconds_or_timedeltas() -> None:
    stream = sa.dynamodb("orders", start="earliest").stream(settle=datetime.timedelta(minutes=2))
    assert '"settle": 120.0,' in str(stream._config)


def test_read_refuses_what_belongs_to_following() -> None:
    source = sa.dynamodb("orders", start="earliest")
    assert "follow=" in refusal(source.read, follow=True)
    assert "checkpoint=" in refusal(source.read, checkpoint="x")
    assert "'folow'" in refusal(source.read, folow=True)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True])
def test_a_limit_is_a_number_of_rows(limit: object) -> None:
    assert "limit=" in refusal(sa.dynamodb("orders").read, limit=limit)


def test_a_url_says_the_same_as_the_call() -> None:
    url = (
        "dynamodb://orders?region=eu-west-1&start=earliest&endpoint_url=http://127.0.0.1:8000"
        "&columns=a,b&schema=a:int64,b:decimal128(38,9),c:list<utf8>&old_image=true&max_columns=7"
        "&connect_timeout=1.5&numbers=float64&segments=4&max_read_units=2.5&enable_stream=true"
    )
    assert repr(sa.source(url)) == repr(
        sa.dynamodb(
            "orders",
            region="eu-west-1",
            start="earliest",
            endpoint_url="http://127.0.0.1:8000",
            columns=["a", "b"],
            schema={"a": "int64", "b": "decimal128(38,9)", "c": "list<utf8>"},
            old_image=True,
            max_columns=7,
            connect_timeout=1.5,
            numbers="float64",
            segments=4,
            max_read_units=2.5,
            enable_stream=True,
        )
    )


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("latest", "latest"),
        ("snapshot", "snapshot"),
        ("at:123", sa.at("123")),
        ("after:123@shardId-1", sa.after("123", shard="shardId-1")),
        (
            "after:123@shardId-1,at:4@shardId-2",
            {"shardId-1": sa.after("123", shard="shardId-1"), "shardId-2": sa.at("4", shard="shardId-2")},
        ),
    ],
)
def test_a_start_in_a_url(text: str, start: object) -> None:
    assert sa.source(f"dynamodb://orders?start={text}").start == start


@pytest.mark.parametrize(
    "arn",
    [TABLE_ARN, STREAM_ARN],
)
def test_a_table_may_be_named_by_arn_in_a_url(arn: str) -> None:
    assert sa.source(f"dynamodb://{arn}?start=latest").table == arn


def test_a_secret_in_a_url_keeps_its_plus_and_slash() -> None:
    source = sa.source("dynamodb://orders?access_key_id=A&secret_access_key=a+b/c%25d%26e=")
    assert source.secret_access_key == "a+b/c%d&e="


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("dynamodb://orders?regoin=eu-west-1", "'region'"),
        ("dynamodb://orders?region", "has no value"),
        ("dynamodb://orders?region=a&region=b", "twice"),
        ("dynamodb://", "names no table"),
        ("kinesis://", 'names no stream; write "kinesis://STREAM"'),
        ("kinesis+dms://x", "kinesis+dynamodb+cdc"),
        ("kinesis://clicks?start=2026-11-21T12:00:00", "such as 2026-11-21T12:00:00Z"),
        ("dynamo://orders", "'dynamodb'"),
        ("orders", "dynamodb://"),
        ("dynamodb://orders?old_image=perhaps", "true or false"),
        ("dynamodb://orders?max_columns=many", "whole number"),
        ("dynamodb://orders?connect_timeout=soon", "seconds"),
        ("dynamodb://orders?segments=some", "whole number"),
        ("dynamodb://orders?max_read_units=all", "must be a number"),
        ("dynamodb://orders?enable_stream=perhaps", "true or false"),
        ("dynamodb://orders?start=after:12x", "sequence number"),
        ("dynamodb://orders?start=at:1,at:2", "another shard"),
        ("dynamodb://AKIAHIDDEN:hidden@orders", "credentials"),
    ],
)
def test_a_url_that_cannot_be_read_names_the_place(url: str, named: str) -> None:
    assert named in refusal(sa.source, url)


def test_errors_about_a_url_never_show_credentials() -> None:
    secret = "secret_access_key=hidden&access_key_id=AKIAHIDDEN&session_token=hiddentoken"
    for url in (
        f"dynamodb://orders?{secret}&regoin=x",
        f"dynamodb://orders?{secret}&old_image=perhaps",
        f"dynamodb://orders?{secret}&{secret}",
        f"dynamodb://orders?{secret}&start=now",
        f"dynamo://orders?{secret}",
        f"dynamodb//orders?{secret}",
        f"dynamodb://AKIAHIDDEN:hidden@orders?{secret}",
    ):
        assert "hidden" not in refusal(sa.source, url).lower()


def test_credentials_that_do_not_belong_together_are_refused_before_connecting() -> None:
    stream = sa.dynamodb("orders", start="latest", region="eu-west-1", access_key_id="AKIAHIDDEN").stream()
    said = refusal(stream.__enter__)
    assert "secret_access_key" in said
    assert "HIDDEN" not in said


def test_a_stream_that_is_not_open_says_how_to_open_it() -> None:
    stream = sa.dynamodb("orders", start="latest").stream()
    for action in (
        stream.__next__,
        stream.metrics,
        stream.gaps,
        stream.quarantined,
        stream.wait_ready_blocking,
        lambda: stream.ready,
    ):
        with pytest.raises(sa.ClosedError, match="with"):
            action()
    assert "not open" in repr(stream)


def test_an_unknown_table_arn_is_refused_before_connecting() -> None:
    stream = sa.dynamodb("arn:aws:s3:::bucket", start="latest", region="eu-west-1").stream()
    assert "ARN" in refusal(stream.__enter__)


def test_every_error_has_a_class_and_its_builtin() -> None:
    for cls, builtin in {
        sa.UsageError: ValueError,
        sa.NotFoundError: LookupError,
        sa.AccessDeniedError: PermissionError,
        sa.ServiceConnectionError: ConnectionError,
        sa.BadRecordError: ValueError,
        sa.StalledError: TimeoutError,
        sa.CheckpointStoreError: OSError,
        sa.ClosedError: RuntimeError,
    }.items():
        error = cls("what happened", retryable=True, code="C", shard="s", position="after 1")
        assert isinstance(error, builtin)
        assert isinstance(error, sa.ShardArrowError)
        assert str(error) == "what happened"
        assert (error.retryable, error.code, error.shard, error.position) == (True, "C", "s", "after 1")


def test_positions_and_spans_are_plain_values() -> None:
    assert sa.at("12") == sa.at(12)
    assert str(sa.after("12")) == "after 12"
    assert pickle.loads(pickle.dumps(sa.after("12", shard="s"))) == sa.after("12", shard="s")
    assert str(sa.Span(sa.Position("beginning"), sa.after("12"))) == "(the beginning, after 12]"


def test_an_error_of_the_core_carries_what_lies_below_it() -> None:
    error = errors._from_native("throttled", "slow down", True, "Throttling", "s", "at 1", ["one", "two"])
    assert isinstance(error, sa.ThrottledError)
    assert (str(error), error.retryable, error.code) == ("slow down", True, "Throttling")
    assert (str(error.__cause__), str(error.__cause__.__cause__)) == ("one", "two")  # type: ignore[union-attr]


def test_help_and_completion_name_every_option() -> None:
    for function in (sa.dynamodb, sa.kinesis):
        shown = inspect.signature(function).parameters
        made = function("orders")
        assert set(shown) <= {field.name for field in fields(made)}
        for option in (field.name for field in fields(Source)):
            assert shown[option].default == getattr(made, option), option
    stream = inspect.signature(Source.stream).parameters
    for function in (Source.read, Source.read_async, sa.load, sa.load_async):
        options = set(inspect.signature(function).parameters) & set(stream) - {"self"}
        assert "memory_limit" in options
        assert all(inspect.signature(function).parameters[o].default == stream[o].default for o in options)
    assert "region" in inspect.signature(sa.KinesisWriter).parameters
