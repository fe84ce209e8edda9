"""A table's changes through Kinesis, repeated and reordered: the mirror is the table, whoever is killed."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from mortal import Load, mirror_differences
from services import Item, Twin

STREAM = "orders-cdc"
KEYS = 60
CHANNEL = {"duplicate_share": 0.1, "delay_ms": 5000, "distinct_us": False}
"""A tenth arrives twice, and every change is up to five seconds on its way."""


class Orders:
    """A table on the twin that sends its changes to a Kinesis stream."""

    def __init__(self, twin: Twin, precision: str) -> None:
        self.twin, self.chance = twin, random.Random(7)
        self.dynamodb = twin.client("dynamodb")
        self.dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        kinesis = twin.client("kinesis")
        kinesis.create_stream(StreamName=STREAM, ShardCount=4)
        arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
        twin.control("knobs", set={"channel": CHANNEL})
        self.dynamodb.enable_kinesis_streaming_destination(
            TableName="orders",
            StreamArn=arn,
            EnableKinesisStreamingConfiguration={"ApproximateCreationDateTimePrecision": precision},
        )
        self.written = 0

    def write(self, count: int, deletes: float = 0.15) -> None:
        """Puts and deletes; each put is another item than all before."""
        for _ in range(count):
            self.written += 1
            key = {"id": {"S": f"order {self.chance.randrange(KEYS)}"}}
            if self.chance.random() < deletes:
                self.dynamodb.delete_item(TableName="orders", Key=key)
                continue
            amount = self.chance.choice(["1", "2.50", "12345678901234567890123.4"])
            more: Item = {"n": {"N": str(self.written)}, "amount": {"N": amount}}
            if self.chance.random() < 0.3:
                more["tags"] = {"L": [{"S": "a"}, {"N": str(self.written)}]}
            self.dynamodb.put_item(TableName="orders", Item=key | more)

    def items(self) -> list[Item]:
        pages = self.dynamodb.get_paginator("scan").paginate(TableName="orders", ConsistentRead=True)
        return [item for page in pages for item in page["Items"]]

    def arrive(self) -> None:
        """Everything that is on its way is in the stream."""
        self.twin.control("advance", ms=CHANNEL["delay_ms"] + 1000)

    @property
    def source(self) -> str:
        return f"kinesis+dynamodb://{STREAM}?endpoint_url={self.twin.endpoint_url}"


@pytest.fixture
def orders(twin: Twin) -> Iterator[Orders]:
    yield Orders(twin, "MICROSECOND")


@pytest.mark.timeout(300)
def test_killed_again_and_again_the_mirror_is_the_table(
    orders: Orders, tmp_path: Path, start_process: Callable[..., "subprocess.Popen[str]"]
) -> None:
    load = Load(orders.source, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    moments = random.Random(3)
    for kill in range(8):
        writing = threading.Thread(target=orders.write, args=(250,))
        writing.start()
        if kill % 2:
            load.run_until_it_dies(1 + kill // 4, "before" if kill % 4 == 1 else "after", poll_interval=0.2)
        else:
            load.run_until_killed(moments.uniform(0, 0.5), "--load-interval", "0.1")
        writing.join()
        orders.twin.control("scale", stream=STREAM, shards=moments.choice([2, 3, 6, 8]))
    orders.arrive()
    load.finish("--settle", "1")
    assert load.kills == 8
    assert mirror_differences(load, orders.items()) == []
    sent = orders.twin.control("kinesis_history", stream=STREAM)["records"]
    assert load.changes() == len(sent) > orders.written, "each record took effect once, the repeated ones too"


def test_the_report_tells_what_this_channel_cannot_promise(orders: Orders, tmp_path: Path) -> None:
    orders.write(100)
    orders.arrive()
    destination = f"duckdb:///{tmp_path / 'shop.duckdb'}"
    report = sa.load(sa.source(orders.source), destination, table="orders", follow=False, settle=0.5)
    for part in ("did not start with a snapshot", "FailedToReplicateRecordCount", "25 hours"):
        assert part in repr(report)
    program = [Path(sys.executable).with_name("shardarrow"), "status", str(tmp_path / "shop.duckdb")]
    shown = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "FailedToReplicateRecordCount" in shown.stdout


def test_milliseconds_tie_and_the_images_order_them(twin: Twin, tmp_path: Path) -> None:
    """Several changes of one key in each millisecond, none of which leads back: images form chains."""
    orders = Orders(twin, "MILLISECOND")
    twin.control("real_time", on=False)
    for _ in range(6):
        orders.write(80, deletes=0)
        twin.control("advance", ms=1)
    orders.arrive()
    twin.control("real_time", on=True)
    destination = f"duckdb:///{tmp_path / 'shop.duckdb'}"
    options: dict[str, Any] = {"follow": False, "settle": 0.5, "poll_interval": 0.2}
    report = sa.load(sa.source(orders.source), destination, table="orders", **options)
    load = Load("", tmp_path / "shop.duckdb", table="orders", mode="mirror", start=print)
    assert mirror_differences(load, orders.items()) == []
    assert "same moment" not in repr(report)
