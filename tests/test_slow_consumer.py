"""A consumer that stops taking batches for longer than an iterator lives: memory is bounded, nothing lost."""

import time
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from lineages import Lineages, by_key, written
from services import Twin

MIB = 1 << 20
LIMIT = 64 * MIB
"""The smallest `memory_limit` there is."""
ITEM = 128 * 1024
OVERHEAD = 64 * MIB
"""What the process may grow by beside the limit: answers as they arrive, the allocator, the test itself."""
IDLE = 1.0
"""Seconds without a call after which nobody reads ahead any more."""


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    """Four lineages with half as much again in them as the limit."""
    orders = Lineages(twin, partitions=4)
    fill(orders, LIMIT * 3 // 2 // ITEM)
    return orders


def fill(orders: Lineages, items: int, keys: int = 50) -> None:
    requests = [
        {
            "PutRequest": {
                "Item": {"id": {"S": f"key {number % keys}"}, "text": {"S": f"{number} " + "x" * ITEM}}
            }
        }
        for number in range(items)
    ]
    for start in range(0, items, 20):
        orders.dynamodb.batch_write_item(RequestItems={orders.name: requests[start : start + 20]})


def wait_until_nobody_reads(orders: Lineages) -> None:
    """Until the stream has stopped asking for records because the consumer does not take them."""
    asked, since = -1, time.monotonic()
    deadline = since + 60
    while time.monotonic() - since < IDLE:
        assert time.monotonic() < deadline, "it never stops reading ahead"
        if (now := calls(orders)) != asked:
            asked, since = now, time.monotonic()
        time.sleep(0.05)


def calls(orders: Lineages) -> int:
    counters = orders.twin.control("counters")["counters"]
    return sum(int(counters[op]["calls"]) for op in ("GetRecords", "Scan") if op in counters)


def resident() -> int:
    """Bytes of this process in memory."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


def changes(batch: sa.Batch) -> list[tuple[str, str, str]]:
    rows = batch.to_pyarrow().select(["id", "_shard", "_sequence"]).to_pylist()
    return [(row["id"], row["_shard"], row["_sequence"]) for row in rows]


def test_memory_is_bounded_and_reading_goes_on_after_every_iterator_expired(orders: Lineages) -> None:
    options: dict[str, Any] = {"memory_limit": LIMIT, "batch_bytes": MIB, "poll_interval": 0.05}
    with orders.source().stream(**options) as stream:
        before = resident()
        seen = changes(next(stream))
        wait_until_nobody_reads(orders)
        held = stream.metrics()
        assert held["records"] < len(orders.history()), "everything fits: the test says nothing"
        assert LIMIT / 2 < held["memory"] <= held["memory_peak"] <= LIMIT
        assert resident() - before < LIMIT + OVERHEAD

        orders.advance(20 * 60_000)
        orders.roll_over(0)
        fill(orders, 20)
        history = orders.history()
        while len(seen) < len(history):
            seen += changes(next(stream))
        assert by_key(seen) == written(history)
        after = stream.metrics()
        assert after["expired"] >= 1
        assert after["memory_peak"] <= LIMIT
    assert stream.gaps() == []


def test_a_batch_that_was_handed_out_counts_no_more(orders: Lineages) -> None:
    """Who keeps batches has their memory; the stream's own stays bounded."""
    kept = []
    with orders.source().stream(memory_limit=LIMIT, batch_bytes=MIB, follow=False, settle=0.3) as stream:
        for batch in stream:
            kept.append(batch)
        assert sum(batch.nbytes for batch in kept) > LIMIT
        assert stream.metrics()["memory_peak"] <= LIMIT
    assert by_key(change for batch in kept for change in changes(batch)) == written(orders.history())


def test_memory_is_bounded_while_a_table_is_scanned(twin: Twin) -> None:
    """Many segments at once, in short slices, and changes between them; nobody takes them for a while."""
    orders = Lineages(twin, partitions=4)
    items = LIMIT * 3 // 2 // ITEM
    fill(orders, items, keys=items)
    source = orders.source(start="snapshot", segments=8)
    options: dict[str, Any] = {"snapshot_slice": 0.2, "settle": 0.3, "poll_interval": 0.05}
    with source.stream(memory_limit=LIMIT, batch_bytes=MIB, follow=False, **options) as stream:
        before = resident()
        scanned = count(next(stream), "snapshot")
        wait_until_nobody_reads(orders)
        held = stream.metrics()
        assert held["snapshot"]["scanned"] + held["records"] < 2 * items, "everything fits"
        assert LIMIT / 2 < held["memory"] <= held["memory_peak"] <= LIMIT
        assert resident() - before < LIMIT + OVERHEAD
        scanned += sum(count(batch, "snapshot") for batch in stream)
        assert (scanned, stream.ready) == (items, True)
        assert stream.metrics()["memory_peak"] <= LIMIT


def count(batch: sa.Batch, op: str) -> int:
    return batch.to_pyarrow()["_op"].to_pylist().count(op)
