"""`shardarrow doctor`: each thing that can be wrong is one line that says what to do, and exit code 1."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clicks import Clicks
from lineages import HOUR, Lineages
from services import Twin
from shardarrow.cli import main
from test_channel_kills import STREAM, Orders

DENIED = {"kind": "error", "code": "AccessDeniedException", "message": "User: … is not authorized"}
ALWAYS = 1000
QUICK: dict[str, Any] = {"follow": False, "settle": 0.1, "poll_interval": 0.02}

Doctor = Callable[..., tuple[int, dict[str, tuple[str, str]]]]


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    return Lineages(twin, partitions=1, view="NEW_AND_OLD_IMAGES")


@pytest.fixture
def doctor(twin: Twin, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Runs the command; gives its exit code and, by name, the level and the text of each check."""

    def run(*flags: str | Path, source: str = "orders") -> tuple[int, dict[str, tuple[str, str]]]:
        endpoint = ["--endpoint-url", twin.endpoint_url]
        code = main(["doctor", source, *endpoint, *map(str, flags), "--as-json"])
        checks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return code, {check["name"]: (check["level"], check["says"]) for check in checks}

    return run


def failing(checks: dict[str, tuple[str, str]]) -> list[str]:
    return [name for name, (level, _) in checks.items() if level == "FAIL"]


def test_all_is_well(orders: Lineages, doctor: Doctor) -> None:
    orders.write(5)
    code, checks = doctor()
    assert (code, failing(checks)) == (0, [])
    allowed = ["DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords", "Scan"]
    assert [checks[action] for action in allowed] == [("ok", "allowed")] * 5
    assert checks["credentials"][0] == checks["clock"][0] == checks["view type"][0] == "ok"
    assert checks["shards"] == ("ok", "1 open, 0 closed")
    assert checks["stream"][1].startswith("ENABLED, arn:aws:dynamodb:")


def test_nothing_is_changed_and_each_call_is_made_once(orders: Lineages, doctor: Doctor) -> None:
    orders.write(5)
    before = orders.history()
    orders.twin.control("reset_calls")
    doctor()
    counters = orders.twin.control("counters")["counters"]
    calls = {op: count["calls"] for op, count in counters.items()}
    reading = {"DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords", "Scan"}
    assert set(calls) == reading
    assert calls["GetRecords"] == calls["GetShardIterator"] == calls["Scan"] == 1
    assert orders.history() == before


@pytest.mark.parametrize(
    "action", ["DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords", "Scan"]
)
def test_a_permission_that_is_missing_is_named_with_its_statement(
    orders: Lineages, doctor: Doctor, action: str
) -> None:
    orders.twin.inject(action, DENIED, times=ALWAYS)
    code, checks = doctor()
    assert (code, failing(checks)) == (1, [action])
    statement = json.loads(checks[action][1].split("policy: ")[1])
    assert (statement["Effect"], statement["Action"]) == ("Allow", f"dynamodb:{action}")
    table = "arn:aws:dynamodb:*:*:table/orders" if action.startswith("Describe") else "table/orders"
    of_table = action in ("DescribeTable", "Scan")
    assert table in statement["Resource"]
    assert statement["Resource"].endswith("table/orders" if of_table else "/stream/*")


def test_reading_changes_alone_needs_no_scan(orders: Lineages, doctor: Doctor) -> None:
    orders.twin.inject("Scan", DENIED, times=ALWAYS)
    code, checks = doctor("--start", "earliest")
    assert (code, "Scan" in checks) == (0, False)


def test_every_permission_that_is_missing_is_named_at_once(orders: Lineages, doctor: Doctor) -> None:
    for action in ("GetRecords", "Scan"):
        orders.twin.inject(action, DENIED, times=ALWAYS)
    assert failing(doctor()[1]) == ["GetRecords", "Scan"]


def test_one_lost_answer_is_no_illness(orders: Lineages, doctor: Doctor) -> None:
    for op in ("DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords", "Scan"):
        orders.twin.inject(op, {"kind": "lost_reply"})
    assert doctor()[0] == 0


@pytest.mark.parametrize(
    "code", ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"]
)
def test_credentials_that_are_refused_are_one_line(orders: Lineages, doctor: Doctor, code: str) -> None:
    refused = {"kind": "error", "code": code, "message": "no"}
    for op in ("DescribeTable", "DescribeStream", "Scan"):
        orders.twin.inject(op, refused, times=ALWAYS)
    exit_code, checks = doctor()
    assert (exit_code, failing(checks)) == (1, ["credentials"])
    assert code in checks["credentials"][1]


def test_a_service_that_cannot_be_reached(
    doctor: Doctor, twin: Twin, capsys: pytest.CaptureFixture[str]
) -> None:
    twin.close()
    code, checks = doctor("--connect-timeout", "1")
    assert (code, failing(checks)) == (1, ["connection"])
    assert "orders" in checks["connection"][1]


@pytest.mark.parametrize("ahead", [10 * 60 * 1000, -1], ids=["the service is ahead", "together"])
def test_clocks_that_differ(orders: Lineages, doctor: Doctor, ahead: int) -> None:
    if ahead > 0:
        orders.advance(ahead)
    code, checks = doctor()
    if ahead < 0:
        assert (code, checks["clock"][0]) == (0, "ok")
        return
    assert (code, failing(checks)) == (1, ["clock"])
    assert "10 min behind the service" in checks["clock"][1]


def test_a_table_without_a_stream(twin: Twin, doctor: Doctor) -> None:
    twin.client("dynamodb").create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    code, checks = doctor()
    assert (code, failing(checks)) == (1, ["stream"])
    assert "StreamEnabled=true" in checks["stream"][1]
    assert doctor("--enable-stream")[1]["UpdateTable"][0] == "note"


def test_a_stream_that_was_turned_off(orders: Lineages, doctor: Doctor) -> None:
    orders.dynamodb.update_table(TableName="orders", StreamSpecification={"StreamEnabled": False})
    code, checks = doctor()
    assert (code, failing(checks)) == (1, ["stream"])
    assert checks["stream"][1].startswith("DISABLED")


def test_a_table_that_is_not_there(twin: Twin, doctor: Doctor) -> None:
    code, checks = doctor(source="nothing")
    assert (code, failing(checks)) == (1, ["DescribeTable"])
    assert "nothing" in checks["DescribeTable"][1]


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
def test_a_view_without_new_images(twin: Twin, doctor: Doctor, view: str) -> None:
    Lineages(twin, partitions=1, view=view)
    code, checks = doctor()
    assert (code, failing(checks)) == (1, ["view type"])
    assert view in checks["view type"][1]
    code, checks = doctor("--start", "latest")
    assert (code, checks["view type"][0]) == (0, "note")


def test_more_readers_than_a_shard_serves(orders: Lineages, doctor: Doctor) -> None:
    throttled = {"kind": "error", "code": "LimitExceededException", "message": "too many readers"}
    orders.twin.inject("GetRecords", throttled, times=ALWAYS)
    code, checks = doctor()
    assert (code, failing(checks)) == (1, ["readers"])
    assert checks["GetRecords"][0] == "note"


def test_the_time_left_for_a_checkpoint(orders: Lineages, doctor: Doctor, tmp_path: Path) -> None:
    orders.write(5)
    path = tmp_path / "orders.ckpt"
    with orders.source().stream(path, **QUICK) as stream:
        assert sum(batch.num_rows for batch in stream) == len(orders.history())
    orders.twin.control("real_time", on=False)
    ages = {1: "ok", 7: "note", 13: "FAIL", 25: "FAIL"}
    before = 0
    for hours, level in ages.items():
        orders.advance((hours - before) * HOUR)
        before = hours
        code, checks = doctor("--checkpoint", path)
        said = checks["checkpoint"]
        assert said[0] == level, (hours, said)
        assert "default: " in said[1]
        assert ("may be lost" in said[1]) == (hours > 24)
        # The service's clock moved and this machine's did not.
        assert failing(checks) == ["clock"] + ["checkpoint"] * (level == "FAIL")
        assert code == 1


def test_the_time_left_for_a_destination(orders: Lineages, doctor: Doctor, tmp_path: Path) -> None:
    import shardarrow as sa

    orders.write(5)
    destination = f"duckdb:///{tmp_path / 'shop.duckdb'}"
    sa.load(orders.source(start="snapshot"), destination, load_interval=0, **QUICK)
    code, checks = doctor("--checkpoint", destination)
    assert (code, checks["checkpoint"][0]) == (0, "ok")


def test_a_checkpoint_of_another_stream(orders: Lineages, doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "orders.ckpt"
    with orders.source().stream(path, **QUICK) as stream:
        assert not list(stream)
    orders.switch_off_and_on()
    code, checks = doctor("--checkpoint", path)
    assert (code, failing(checks)) == (1, ["checkpoint"])
    assert "replaced" in checks["checkpoint"][1]


# Kinesis

KINESIS = ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"]


@pytest.fixture
def clicks(twin: Twin) -> Clicks:
    clicks = Clicks(twin)
    clicks.put(20)
    return clicks


@pytest.mark.parametrize("fan_out", [False, True], ids=["polling", "fan-out"])
def test_all_is_well_with_a_stream(clicks: Clicks, doctor: Doctor, fan_out: bool) -> None:
    flags = ["--fan-out", "nobody"] if fan_out else []
    code, checks = doctor(*flags, source="kinesis://clicks")
    assert (code, failing(checks)) == (0, [])
    assert [checks[action] for action in KINESIS] == [("ok", "allowed")] * 4
    assert ("SubscribeToShard" in checks) == fan_out
    assert checks["shards"] == ("ok", "2 open, 0 closed")
    assert "view type" not in checks
    stream = clicks.kinesis.describe_stream_summary(StreamName="clicks")["StreamDescriptionSummary"]
    consumers = clicks.kinesis.list_stream_consumers(StreamARN=stream["StreamARN"])
    assert consumers["Consumers"] == []


@pytest.mark.parametrize("action", KINESIS)
def test_a_permission_for_a_stream_that_is_missing_is_named(
    clicks: Clicks, doctor: Doctor, action: str
) -> None:
    clicks.twin.inject(f"Kinesis.{action}", DENIED, times=ALWAYS)
    code, checks = doctor(source="kinesis://clicks")
    assert (code, failing(checks)) == (1, [action])
    statement = json.loads(checks[action][1].split("policy: ")[1])
    assert statement["Action"] == f"kinesis:{action}"
    assert statement["Resource"].endswith(":stream/clicks")


def test_a_checkpoint_of_a_stream(clicks: Clicks, doctor: Doctor, tmp_path: Path) -> None:
    path = tmp_path / "clicks.ckpt"
    with clicks.source().stream(path, follow=False) as stream:
        assert sum(batch.num_rows for batch in stream) == 20
    code, checks = doctor("--checkpoint", path, source="kinesis://clicks")
    assert (code, checks["checkpoint"][0]) == (0, "ok")


# A table whose changes come through Kinesis

THROUGH = {
    "DescribeTable": "dynamodb",
    "DescribeStreamSummary": "kinesis",
    "ListShards": "kinesis",
    "GetShardIterator": "kinesis",
    "GetRecords": "kinesis",
    "Scan": "dynamodb",
}


@pytest.fixture
def through(twin: Twin) -> str:
    """Its URL."""
    Orders(twin, "MICROSECOND").write(3)
    return f"dynamodb://orders?changes=kinesis:{STREAM}"


@pytest.mark.parametrize("flags", [[], ["--fan-out", "nobody"]], ids=["polling", "fan-out"])
def test_all_is_well_with_changes_through_kinesis(through: str, doctor: Doctor, flags: list[str]) -> None:
    code, checks = doctor(*flags, source=through)
    assert (code, failing(checks)) == (0, [])
    assert [checks[action] for action in THROUGH] == [("ok", "allowed")] * 6
    assert ("SubscribeToShard" in checks) == bool(flags)
    assert checks["shards"] == ("ok", "4 open, 0 closed")
    assert "DescribeStream" not in checks and "view type" not in checks
    assert "fan_out=" in checks["readers"][1]


def test_a_table_that_sends_no_changes_there_is_no_missing_permission(
    through: str, twin: Twin, doctor: Doctor
) -> None:
    twin.client("kinesis").create_stream(StreamName="other", ShardCount=1)
    for stream, words in {"other": "enable-kinesis-streaming-destination", "nowhere": "there is no"}.items():
        code, checks = doctor(source=f"dynamodb://orders?changes=kinesis:{stream}")
        assert (code, failing(checks)) == (1, ["stream"])
        assert words in checks["stream"][1]


@pytest.mark.parametrize("action", THROUGH)
def test_a_permission_for_changes_through_kinesis_that_is_missing_is_named(
    through: str, twin: Twin, doctor: Doctor, action: str
) -> None:
    service = THROUGH[action]
    twin.inject(f"Kinesis.{action}" if service == "kinesis" else action, DENIED, times=ALWAYS)
    code, checks = doctor(source=through)
    assert (code, failing(checks)) == (1, [action])
    statement = json.loads(checks[action][1].split("policy: ")[1])
    assert statement["Action"] == f"{service}:{action}"
    assert statement["Resource"].endswith(f":stream/{STREAM}" if service == "kinesis" else ":table/orders")


def test_a_line_for_people(orders: Lineages, twin: Twin, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "orders", "--endpoint-url", twin.endpoint_url]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ok    GetRecords        allowed" in lines
