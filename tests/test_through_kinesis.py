"""A table that is scanned while its changes come through Kinesis, late, repeated and out of order."""

import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from mortal import Load, mirror_differences
from services import Twin
from shardarrow.cli import main
from test_channel_kills import STREAM, Orders

FAST = {"settle": 0.5, "poll_interval": 0.1}


@pytest.fixture
def orders(twin: Twin) -> Orders:
    # Who follows a reader that was killed would wait for five seconds.
    twin.control("knobs", set={"kinesis": {"takeover_ms": 200}})
    return Orders(twin, "MICROSECOND")


@pytest.fixture(params=[None, "app"], ids=["polled", "pushed"])
def fan_out(request: pytest.FixtureRequest) -> str | None:
    """How the changes come."""
    consumer: str | None = request.param
    return consumer


def source(orders: Orders, **options: Any) -> sa.Source:
    where = {"endpoint_url": orders.twin.endpoint_url, "changes": f"kinesis:{STREAM}"}
    return sa.dynamodb("orders", **{**where, **options})


def mirror(orders: Orders, file: Path, fan_out: str | None = None, **options: Any) -> Any:
    return sa.load(
        source(orders, fan_out=fan_out), f"duckdb:///{file}", table="orders", follow=False, **FAST, **options
    )


def differences(orders: Orders, file: Path) -> list[str]:
    load = Load("", file, table="orders", mode="mirror", start=print)
    return mirror_differences(load, orders.items())


def test_items_that_never_change_are_there_and_the_others_follow(
    orders: Orders, tmp_path: Path, fan_out: str | None
) -> None:
    file = tmp_path / "shop.duckdb"
    orders.write(200)
    orders.twin.control("advance", ms=25 * 3600 * 1000)  # the stream has forgotten all of it
    orders.write(20)
    report = mirror(orders, file, fan_out)
    assert report.ready and report.from_snapshot
    orders.write(100)
    orders.arrive()
    report = mirror(orders, file, fan_out)
    assert report.resumed
    assert differences(orders, file) == []
    assert "did not start with a snapshot" not in repr(report)
    assert "FailedToReplicateRecordCount" in repr(report)


def test_a_change_that_comes_hours_late_does_not_stand_above_the_scan(orders: Orders, tmp_path: Path) -> None:
    """It was made before another one that came in time and is in the scan only."""
    twin, file = orders.twin, tmp_path / "shop.duckdb"
    key = {"id": {"S": "slow"}}
    twin.control("knobs", set={"channel": {"delay_ms": 8 * 3600 * 1000}})
    for n in range(60):
        orders.dynamodb.put_item(TableName="orders", Item=key | {"n": {"N": str(n)}})
        orders.dynamodb.put_item(TableName="orders", Item={"id": {"S": f"slow {n}"}, "n": {"N": "1"}})
        orders.dynamodb.delete_item(TableName="orders", Key={"id": {"S": f"slow {n}"}})
        twin.control("advance", ms=60_000)
    twin.control("advance", ms=2 * 3600 * 1000)
    mirror(orders, file)
    twin.control("advance", ms=8 * 3600 * 1000)
    report = mirror(orders, file)
    assert differences(orders, file) == []
    assert "were left out: the snapshot has what they did" in repr(report)


@pytest.mark.timeout(300)
def test_killed_while_scanning_and_following(
    orders: Orders,
    tmp_path: Path,
    fan_out: str | None,
    start_process: Callable[..., "subprocess.Popen[str]"],
) -> None:
    orders.write(400)
    orders.twin.control("knobs", set={"scan_units_per_second": 40})
    url = f"dynamodb://orders?changes=kinesis:{STREAM}&segments=3&endpoint_url={orders.twin.endpoint_url}"
    url += f"&fan_out={fan_out}" if fan_out else ""
    load = Load(url, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    moments = random.Random(5)
    for kill in range(6):
        writing = threading.Thread(target=orders.write, args=(120,))
        writing.start()
        if kill % 2:
            load.run_until_it_dies(1, "before" if kill % 4 == 1 else "after", poll_interval=0.2)
        else:
            load.run_until_killed(moments.uniform(0, 0.4), "--load-interval", "0.1")
        writing.join()
    orders.arrive()
    load.finish("--settle", "1")
    assert load.snapshot()["ready"]
    assert mirror_differences(load, orders.items()) == []
    assert called(orders, "GetRecords") == 0 if fan_out else called(orders, "SubscribeToShard") == 0


def called(orders: Orders, operation: str) -> int:
    counters = orders.twin.control("counters")["counters"]
    return int(counters.get(f"Kinesis.{operation}", {"calls": 0})["calls"])


def consumers(orders: Orders) -> list[str]:
    kinesis = orders.twin.client("kinesis")
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    return [found["ConsumerName"] for found in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]]


def test_polling_and_pushing_go_on_from_each_other(orders: Orders, tmp_path: Path) -> None:
    file = tmp_path / "shop.duckdb"
    for fan_out in ("app", None, "app"):
        orders.write(60)
        orders.arrive()
        mirror(orders, file, fan_out)
    assert differences(orders, file) == []


def test_the_consumer_stays_until_it_is_deregistered(orders: Orders) -> None:
    orders.write(10)
    orders.arrive()
    pushed = source(orders, fan_out="app")
    assert pushed.read().num_rows == len(orders.items())
    assert consumers(orders) == [], "a scan alone needs no consumer"
    with pushed.stream(follow=False, **FAST) as stream:
        assert sum(batch.num_rows for batch in stream) > 10
    assert called(orders, "GetRecords") == 0 and consumers(orders) == ["app"]
    pushed.deregister()
    assert consumers(orders) == []
    with pytest.raises(sa.UsageError, match="no fan_out"):
        source(orders).deregister()


def test_the_command_line_deregisters_it(orders: Orders, capsys: pytest.CaptureFixture[str]) -> None:
    with source(orders, fan_out="app").stream(follow=False, **FAST) as stream:
        assert not list(stream)
    url = f"dynamodb://orders?changes=kinesis:{STREAM}&endpoint_url={orders.twin.endpoint_url}"
    assert main(["deregister", url]) == 2
    assert consumers(orders) == ["app"]
    assert main(["deregister", f"{url}&fan_out=app"]) == 0
    assert f"consumer app of {STREAM} is deregistered" in capsys.readouterr().err
    assert consumers(orders) == []


def test_after_a_loss_the_table_is_scanned_again(orders: Orders, tmp_path: Path, fan_out: str | None) -> None:
    """The stream forgot changes, among them deletes; late copies of older ones change nothing any more."""
    file = tmp_path / "shop.duckdb"
    orders.write(150)
    mirror(orders, file, fan_out)
    orders.write(150, deletes=0.5)
    orders.twin.control("advance", ms=26 * 3600 * 1000)
    orders.write(20)
    with pytest.raises(sa.GapError):
        mirror(orders, file, fan_out)
    report = mirror(orders, file, fan_out, on_gap="resnapshot")
    assert report.epoch == 2 and report.ready and report.swept > 0
    orders.write(60)
    orders.arrive()
    mirror(orders, file, fan_out)
    assert differences(orders, file) == []


def test_read_is_a_scan_and_a_stream_gives_both(orders: Orders) -> None:
    orders.write(30, deletes=0)
    orders.arrive()
    assert source(orders).read().num_rows == len(orders.items())
    seen = set()
    with source(orders).stream(follow=False, **FAST) as stream:
        for batch in stream:
            seen |= set(batch.to_pyarrow().column("_op").to_pylist())
    assert seen == {"snapshot", "insert", "modify"}


def test_a_table_that_sends_nothing_there_is_refused(orders: Orders, tmp_path: Path) -> None:
    orders.twin.client("kinesis").create_stream(StreamName="other", ShardCount=1)
    with pytest.raises(sa.NotFoundError, match="enable-kinesis-streaming-destination"):
        sa.load(
            source(orders, changes="kinesis:other"),
            f"duckdb:///{tmp_path / 'x.duckdb'}",
            follow=False,
            **FAST,
        )
    summary = orders.twin.client("kinesis").describe_stream_summary(StreamName=STREAM)
    arn = summary["StreamDescriptionSummary"]["StreamARN"]
    orders.dynamodb.disable_kinesis_streaming_destination(TableName="orders", StreamArn=arn)
    with pytest.raises(sa.NotFoundError, match="DISABL"):
        mirror(orders, tmp_path / "shop.duckdb")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"changes": "orders-cdc"}, "kinesis:orders-cdc"),
        ({"changes": "kinesis:"}, "changes="),
        ({"changes": "kinesis:s", "enable_stream": True}, "enable_stream"),
        ({"changes": "kinesis:s", "late_margin": 10}, "late_margin"),
        ({"changes": "kinesis:s", "start": "sometime"}, "start"),
        ({"changes": "kinesis:s", "fan_out": ""}, "fan_out"),
        ({"fan_out": "app"}, "fan_out='app'.*changes="),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(sa.UsageError, match=named):
        sa.dynamodb("orders", **options)


def test_a_url_says_the_same() -> None:
    found = sa.source("dynamodb://orders?changes=kinesis:orders-cdc&late_margin=600")
    assert repr(found) == "dynamodb('orders', changes='kinesis:orders-cdc', late_margin=600.0)"
    found = sa.source("dynamodb://orders?changes=kinesis:orders-cdc&fan_out=app")
    assert repr(found) == "dynamodb('orders', fan_out='app', changes='kinesis:orders-cdc')"
