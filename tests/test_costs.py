"""What a stream costs when it starts and while nothing happens: calls and CPU time rather than the clock."""

import asyncio
import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest

import shardarrow as sa
from lineages import Lineages
from services import Tables, Twin
from shardarrow.demo.emulator import Emulator

PARTITIONS = 4


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    return Lineages(twin, partitions=PARTITIONS)


def calls(orders: Lineages) -> list[dict[str, Any]]:
    """Every call since the last reset, with the service's time."""
    found: list[dict[str, Any]] = orders.twin.control("calls")["calls"]
    return found


async def idle(stream: sa.Stream, seconds: float) -> None:
    """Waits for a batch that does not come."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await anext(stream)


def test_the_first_batch_takes_one_call_of_each_kind_for_each_shard(orders: Lineages) -> None:
    orders.write(40)
    orders.twin.control("reset_calls")
    with orders.source().stream(poll_interval=60) as stream:
        next(stream)
        asked = Counter(call["op"] for call in calls(orders))
    assert asked["DescribeTable"] == 1
    assert asked["DescribeStream"] == 2
    assert asked["GetShardIterator"] <= PARTITIONS
    # The records, and a few empty answers while the batch waits for more rows.
    assert asked["GetRecords"] <= 4 * PARTITIONS
    assert set(asked) == {"DescribeTable", "DescribeStream", "GetShardIterator", "GetRecords"}


def test_a_small_stream_starts_at_once(emulator: Emulator, tables: Tables) -> None:
    """About 0.1 s on an idle machine; the bound is for a busy one."""
    table = tables.make(keys={"id": "S"})
    tables.put(table, {"id": {"S": "one"}})
    took = []
    for _ in range(3):
        began = time.monotonic()
        with sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url).stream() as stream:
            next(stream)
            took.append(time.monotonic() - began)
    assert min(took) < 1.0, took


async def test_an_idle_shard_is_asked_no_more_often_than_its_poll_interval(orders: Lineages) -> None:
    interval = 0.25
    orders.write(40)
    async with orders.source().stream(poll_interval=interval, discovery_interval=60) as stream:
        while stream.metrics().get("records", 0) < len(orders.history()):
            await anext(stream)
        await idle(stream, 2 * interval)
        orders.twin.control("reset_calls")
        await idle(stream, 3)
        asked = calls(orders)
    assert {call["op"] for call in asked} == {"GetRecords"}
    moments: dict[str, list[int]] = defaultdict(list)
    for call in asked:
        moments[call["shard"]].append(call["at_ms"])
    assert len(moments) == PARTITIONS
    for shard, at in moments.items():
        pauses = [later - earlier for earlier, later in pairwise(at)]
        # A call that was late on its way may be followed by one that was not; the pace is what counts.
        assert (at[-1] - at[0]) / len(pauses) >= 1000 * interval * 0.95, (shard, pauses)
        assert len(at) >= 3 / interval / 4, (shard, pauses)


async def test_the_shards_are_listed_no_more_often_than_the_discovery_interval(orders: Lineages) -> None:
    async with orders.source().stream(discovery_interval=1, poll_interval=0.5) as stream:
        await idle(stream, 1)
        orders.twin.control("reset_calls")
        await idle(stream, 3)
        listed = [call["at_ms"] for call in calls(orders) if call["op"] == "DescribeStream"]
    assert 1 <= len(listed) <= 4


async def test_waiting_costs_next_to_no_cpu(orders: Lineages) -> None:
    async with orders.source().stream() as stream:
        await idle(stream, 1)
        began, used = time.monotonic(), time.process_time()
        await idle(stream, 3)
        share = (time.process_time() - used) / (time.monotonic() - began)
    # Four calls a second by a library that was built without optimization.
    assert share < 0.05


async def test_a_new_record_is_read_within_a_poll_interval_of_many_empty_answers(orders: Lineages) -> None:
    """Pages that stay empty do not make the pause longer than it was asked for."""
    async with orders.source().stream(poll_interval=0.2) as stream:
        await idle(stream, 2)
        began = time.monotonic()
        await asyncio.to_thread(orders.write, 1)
        await anext(stream)
        assert time.monotonic() - began < 5


async def test_records_are_asked_for_again_at_once_while_they_come(orders: Lineages) -> None:
    orders.twin.control("knobs", set={"page_records": 5})
    orders.write(200)
    began = time.monotonic()
    async with orders.source().stream(poll_interval=30) as stream:
        count = 0
        while count < len(orders.history()):
            count += len(await anext(stream))
    assert time.monotonic() - began < 20
