"""Snapshots on a fake AWS: scans longer than the stream lasts, shards that roll over, streams that go."""

import asyncio
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from lineages import HOUR, Lineages, rows_of
from mortal import Load, mirror_differences
from services import Item, Twin

QUICK: dict[str, Any] = {"settle": 0.2, "poll_interval": 0.02, "discovery_interval": 0.2}
ONCE: dict[str, Any] = {"follow": False, "load_interval": 0, **QUICK}
QUICK_FLAGS = ("--settle", "0.2", "--poll-interval", "0.02", "--discovery-interval", "0.2")


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    return Lineages(twin)


@pytest.fixture
def load(orders: Lineages, tmp_path: Path, start_process: Callable[..., Any]) -> Load:
    """A mirror of the table, loaded by processes that are killed."""
    file = tmp_path / "shop.duckdb"
    return Load(orders.url("snapshot"), file, table="orders", mode="mirror", start=start_process)


def fill(orders: Lineages, keys: int, *, hidden: bool = True) -> None:
    """Every key has an item; when they are hidden the stream has forgotten them, and only a scan has them."""
    names = ({"id": {"S": f"key {key}"}, "n": {"N": str(-key)}} for key in range(keys))
    requests = [{"PutRequest": {"Item": item}} for item in names]
    for start in range(0, keys, 25):
        orders.dynamodb.batch_write_item(RequestItems={orders.name: requests[start : start + 25]})
    if hidden:
        for partition in range(orders.partitions):
            orders.roll_over(partition)
        orders.advance(25 * HOUR)


def items(orders: Lineages) -> list[Item]:
    """The table at rest."""
    pages = orders.dynamodb.get_paginator("scan").paginate(TableName=orders.name, ConsistentRead=True)
    return [item for page in pages for item in page["Items"]]


def knobs(orders: Lineages, **settings: Any) -> None:
    orders.twin.control("knobs", set=settings)


def mirror(orders: Lineages, load: Load, **options: Any) -> Any:
    """Load what there is now, into the mirror."""
    source = orders.source(start="snapshot")
    return sa.load(source, load.destination, table="orders", **ONCE | options)


def source(orders: Lineages, **options: Any) -> sa.Source:
    return orders.source(start="snapshot", **options)


def numbers(rows: list[dict[str, Any]]) -> dict[str, int]:
    """What a consumer has that applies every row in order."""
    held: dict[str, int] = {}
    for row in rows:
        if row["_op"] == "remove":
            held.pop(row["id"], None)
        else:
            held[row["id"]] = row["n"]
    return held


def at_rest(orders: Lineages) -> dict[str, int]:
    return {item["id"]["S"]: int(item["n"]["N"]) for item in items(orders)}


# Time


async def test_a_scan_that_takes_longer_than_the_retention_loses_nothing(orders: Lineages) -> None:
    """After every drain the table changes and three hours pass; shards roll over every four."""
    fill(orders, 300)
    knobs(orders, scan_page_items=10, roll_every_ms=4 * HOUR)
    began = orders.now()
    batches: list[sa.Batch] = []
    options = {**QUICK, "settle": 0.05, "snapshot_slice": 0.02}
    async with source(orders, segments=2, max_read_units=8).stream(**options) as stream:

        async def take() -> None:
            async for batch in stream:
                batches.append(batch)

        taking = asyncio.create_task(take())
        drains, heard = 0, True
        async with asyncio.timeout(90):
            while not stream.ready:
                unread = unread_hours(stream.metrics())
                # No answer has told the stream yet that hours have passed, or one has.
                heard = heard or unread > 1
                if heard and unread <= 1:
                    drains, heard = drains + 1, False
                    orders.write(5, keys=300)
                    orders.advance(3 * HOUR)
                await asyncio.wait([taking], timeout=0.005)
                assert not taking.done(), taking
        hours = (orders.now() - began) / 3600
        assert hours > 24, f"the scan took {hours} hours with {drains} drains"
        orders.write(20, keys=300)
        while numbers(rows_of(batches)) != at_rest(orders):
            await asyncio.wait([taking], timeout=0.05)
            assert not taking.done()
        assert stream.gaps() == []
        taking.cancel()
    scanned = [row["id"] for row in rows_of(batches) if row["_op"] == "snapshot"]
    assert len(scanned) == len(set(scanned)) > 100


def unread_hours(told: dict[str, Any]) -> float:
    """For how long changes have waited in the stream, while the table is scanned; else for ever."""
    scan, unread = told["snapshot"], told["unread_seconds"]
    goes_on = scan is not None and scan["slice"] != "done" and unread is not None
    return unread / 3600 if goes_on else math.inf


async def test_progress_while_hours_pass(orders: Lineages) -> None:
    """What waits is told in time: nobody reads the stream during a slice of the scan."""
    fill(orders, 100)
    knobs(orders, scan_page_items=5, count_every_ms=0)
    async with source(orders, segments=2, max_read_units=2).stream(snapshot_slice=3600, **QUICK) as stream:
        await anext(stream)
        orders.write(10, keys=100)
        orders.advance(2 * HOUR)
        # The next answer of the service tells the time.
        await anext(stream)
        told = stream.metrics()
    scan = told["snapshot"]
    assert (scan["slice"], scan["items"], scan["segments"]) == ("scanning", 100, 2)
    assert 0 < scan["scanned"] == sum(segment["scanned"] for segment in scan["by_segment"]) < 100
    assert not any(segment["done"] for segment in scan["by_segment"])
    assert scan["seconds_left"] > 0
    assert 2 * 3600 <= told["unread_seconds"] < 2 * 3600 + 60
    assert scan["hours_to_loss"] == pytest.approx(24 - told["unread_seconds"] / 3600)
    assert told["changes_waiting"] == 0


# Gaps


def grow_old(orders: Lineages) -> None:
    orders.advance(25 * HOUR)


LOSSES = [(grow_old, "24 hours"), (Lineages.switch_off_and_on, "replaced"), (Lineages.recreate, "replaced")]
"""What happens to the stream while nobody reads, and what is said of it."""


def changed_unseen(orders: Lineages, lose: Callable[[Lineages], None]) -> None:
    """Items change, some go and the stream that tells of it is lost; then the table changes again."""
    orders.advance(1_000)
    orders.write(60, keys=80)
    lose(orders)
    orders.write(60, keys=80)


@pytest.mark.parametrize(("lose", "cause"), LOSSES, ids=["old", "off and on", "recreated"])
@pytest.mark.parametrize("ready", [True, False], ids=["complete", "scanning"])
def test_what_was_lost_between_two_runs_is_named_and_healed(
    orders: Lineages, load: Load, lose: Callable[[Lineages], None], cause: str, ready: bool
) -> None:
    fill(orders, 80)
    if ready:
        assert mirror(orders, load).ready
    else:
        knobs(orders, scan_page_items=10)
        scan_a_part(load)
    changed_unseen(orders, lose)

    with pytest.raises(sa.GapError) as caught:
        mirror(orders, load)
    sentence = str(caught.value)
    assert cause in sentence
    assert 'on_gap="continue"' in sentence and '"resnapshot"' in sentence
    if lose is grow_old:
        assert f"shard {caught.value.shard} of arn:" in sentence
        assert "from the beginning to the oldest record left" in sentence
    else:
        assert "from the end of arn:" in sentence and "to the beginning of the next stream" in sentence

    report = mirror(orders, load, on_gap="resnapshot")
    assert mirror_differences(load, items(orders)) == []
    assert (report.epoch, report.ready) == (2, True)
    assert report.gaps >= 1
    gaps = [json.loads(gap) for (gap,) in load.query("SELECT gap FROM _shardarrow_gaps")]
    assert all(cause in gap["cause"] for gap in gaps)
    again = mirror(orders, load)
    assert (again.epoch, again.gaps, again.rows) == (2, 0, 0)


def scan_a_part(load: Load) -> None:
    """Dies right behind its second write, in the middle of the scan."""
    load.run_until_it_dies(2, "after", batch_rows=10, **ONCE)
    assert load.snapshot()["ended"] is None


# The service's ways with a scan


def test_a_throttled_scan_slows_down_and_goes_on(orders: Lineages, load: Load) -> None:
    fill(orders, 200)
    knobs(orders, scan_page_items=10, scan_units_per_second=15.0)
    with source(orders, segments=4).stream(follow=False, **QUICK) as stream:
        rows = rows_of(stream)
        told = stream.metrics()["snapshot"]
    knobs(orders, scan_units_per_second=None)
    assert numbers(rows) == at_rest(orders)
    assert told["retries"] > 0
    assert (told["scanned"], told["segments_done"]) == (200, 4)


def test_a_budget_keeps_the_scan_from_being_throttled(orders: Lineages) -> None:
    fill(orders, 100)
    knobs(orders, scan_page_items=10, scan_units_per_second=30.0)
    with source(orders, segments=4, max_read_units=20).stream(follow=False, **QUICK) as stream:
        rows = rows_of(stream)
        assert stream.metrics()["snapshot"]["retries"] == 0
    knobs(orders, scan_units_per_second=None)
    assert numbers(rows) == at_rest(orders)


@pytest.mark.parametrize("members", ["sorted", "items_first", "items_last", "mixed"])
@pytest.mark.parametrize("empty", [0, 3])
def test_empty_pages_that_go_on_and_members_in_any_order(orders: Lineages, members: str, empty: int) -> None:
    fill(orders, 60)
    knobs(orders, scan_page_items=7, scan_empty_pages=empty, scan_members=members)
    table = source(orders, segments=3).read().to_pyarrow()
    assert dict(zip(table["id"].to_pylist(), table["n"].to_pylist(), strict=True)) == at_rest(orders)
    assert table.num_rows == 60
    calls = orders.twin.control("counters")["counters"]["Scan"]["calls"]
    assert calls >= 60 // 7 + 3 * empty


def test_a_scan_never_asks_for_stale_reads(orders: Lineages, load: Load) -> None:
    fill(orders, 50)
    knobs(orders, scan_stale_ms=6 * HOUR)
    orders.write(60, keys=50)
    orders.advance(HOUR)
    table = source(orders).read().to_pyarrow()
    assert dict(zip(table["id"].to_pylist(), table["n"].to_pylist(), strict=True)) == at_rest(orders)
    mirror(orders, load)
    assert mirror_differences(load, items(orders)) == []


@pytest.mark.parametrize("option", ["consistent_read=false", "consistent=false"])
def test_a_stale_scan_cannot_be_asked_for(option: str) -> None:
    name = option.partition("=")[0]
    with pytest.raises(sa.UsageError, match=name):
        sa.source(f"dynamodb://orders?{option}")


FAULTS = {
    "reset": {"kind": "reset"},
    "lost reply": {"kind": "lost_reply"},
    "truncated": {"kind": "truncated"},
    "not JSON": {"kind": "invalid_json"},
    "damaged": {"kind": "wrong_crc"},
    "internal": {"kind": "error", "code": "InternalServerError", "status": 500},
    "throttled": {"kind": "error", "code": "ProvisionedThroughputExceededException"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_scan_is_asked_again(orders: Lineages, fault: str) -> None:
    fill(orders, 60)
    knobs(orders, scan_page_items=10)
    orders.twin.inject("Scan", FAULTS[fault], times=2, skip=2)
    with source(orders, segments=2).stream(follow=False, **QUICK) as stream:
        rows = rows_of(stream)
        assert stream.metrics()["snapshot"]["retries"] == 2
    assert sorted(row["id"] for row in rows if row["_op"] == "snapshot") == sorted(at_rest(orders))


# Kills


@pytest.mark.timeout(300)
def test_killed_in_the_middle_of_a_scan_while_shards_roll_over(orders: Lineages, load: Load) -> None:
    """Hours pass between the kills, and listings are late and out of order."""
    fill(orders, 200)
    orders.make_awkward()
    knobs(orders, scan_page_items=5, scan_empty_pages=1, scan_members="mixed")
    for number in range(4):
        orders.write(40, keys=200, roll_over=0.3)
        if number % 2:
            load.run_until_it_dies(2, batch_rows=5, snapshot_slice=0.01, **ONCE)
        else:
            load.run_until_it_dies(3, "after", batch_rows=5, snapshot_slice=0.01, **ONCE)
        assert load.snapshot()["ended"] is None, "it was killed too late"
        orders.write(40, keys=200, roll_over=0.3)
        orders.advance(5 * HOUR)
    load.finish(*QUICK_FLAGS)
    assert mirror_differences(load, items(orders)) == []
    assert load.query("SELECT * FROM _shardarrow_gaps") == []
    assert load.snapshot()["slices"] > 1
    assert json.dumps(load.snapshot()["segments"]).count('"done": true') == len(load.snapshot()["segments"])
