"""Through a proxy that errs, delays, hangs, resets, cuts and loses, every change arrives exactly once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import proxy
import shardarrow as sa
from changes import Changes
from mortal import Load, mirror_differences
from proxy import Fault, Proxy
from services import Tables
from shardarrow.demo.emulator import Emulator
from test_kills import assert_every_change_once, stream_records

CHANGES, KEYS = 200, 60
SEED = 4
QUICK: dict[str, Any] = {"follow": False, "settle": 0.3, "poll_interval": 0.02, "load_interval": 0.0}

# Calls that meet the fault. Opening describes the table and its stream, and asks twice before it gives up
# (DescribeTable three times each); later calls are asked again until `stall_timeout`.
OCCURRENCES = {
    "DescribeTable": [1],
    "DescribeStream": [2, 3],
    "GetShardIterator": [1, 2],
    "GetRecords": [1, 3, 4],
    "Scan": [1, 2],
}


@pytest.fixture
def between(emulator: Emulator) -> Iterator[Proxy]:
    """A proxy in front of the emulator."""
    with Proxy(emulator.endpoint_url) as running:
        yield running


@pytest.fixture(scope="module")
def orders(emulator: Emulator) -> Iterator[str]:
    """A table with changes of every kind."""
    tables = Tables(emulator)
    table = tables.make(keys={"id": "S"})
    Changes(tables.dynamodb, table, keys=KEYS, total=CHANGES, seed=SEED).write(CHANGES)
    yield table
    tables.close()


def source(table: str, between: Proxy, start: str) -> sa.Source:
    options: dict[str, Any] = {"attempt_timeout": 0.5, "segments": 3}
    return sa.dynamodb(table, start=start, endpoint_url=between.endpoint_url, **options)


def load_of(table: str, path: Path, mode: str, start_process: Callable[..., Any]) -> Load:
    return Load("", path / "shop.duckdb", table=table, mode=mode, start=start_process)


@pytest.mark.parametrize(
    ("mode", "fault"),
    [*(("mirror", fault) for fault in proxy.FAULTS), ("append", "cut"), ("append", "lost reply")],
)
def test_each_fault_of_each_call_leaves_an_exact_copy(
    mode: Any,
    fault: Fault,
    orders: str,
    between: Proxy,
    emulator: Emulator,
    tables: Tables,
    tmp_path: Path,
    start_process: Callable[..., Any],
) -> None:
    start = "snapshot" if mode == "mirror" else "earliest"
    operations = OCCURRENCES.keys() - ({"Scan"} if start == "earliest" else set())
    for operation in operations:
        between.plan(operation, fault, OCCURRENCES[operation])
    load = load_of(orders, tmp_path, mode, start_process)
    sa.load(source(orders, between, start), load.destination, mode=mode, batch_rows=50, **QUICK)
    assert {operation for operation, _ in between.struck} == operations
    if mode == "mirror":
        assert mirror_differences(load, tables.items(orders)) == []
    else:
        assert_every_change_once(load, stream_records(emulator, orders))


@pytest.mark.parametrize("trouble", ["outage", "freeze"])
def test_a_stream_outlives_an_outage_and_connections_that_are_dead(
    trouble: str, between: Proxy, tables: Tables
) -> None:
    """With connections in the pool that never answer again, and with none that can be made."""
    table = tables.make(keys={"id": "S"})
    tables.put(table, *({"id": {"S": f"key {n}"}, "n": {"N": str(n)}} for n in range(10)))
    seen: list[int] = []
    with source(table, between, "earliest").stream(poll_interval=0.02, batch_wait=0.01) as stream:
        while len(seen) < 10:
            seen += [row["n"] for row in next(stream).to_pyarrow().to_pylist()]
        if trouble == "freeze":
            between.freeze()
        else:
            between.outage(True)
            await_retries(stream, 3)
        tables.put(table, *({"id": {"S": f"key {n}"}, "n": {"N": str(n)}} for n in range(10, 20)))
        between.outage(False)
        while len(seen) < 20:
            seen += [row["n"] for row in next(stream).to_pyarrow().to_pylist()]
        assert stream.metrics()["retries"] > 0
    assert seen == list(range(20))


def await_retries(stream: sa.Stream, count: int) -> None:
    """Until the stream has met the trouble."""
    tick = threading.Event()
    for _ in range(6000):
        if stream.metrics()["retries"] >= count:
            return
        tick.wait(0.01)
    raise AssertionError("the stream did not notice the outage for a minute")


@pytest.mark.parametrize("fault", ["error", "hang", "reset", "cut", "lost reply", "html"])
def test_opening_that_fails_again_and_again_says_what_failed(
    fault: Fault, orders: str, between: Proxy
) -> None:
    between.plan("DescribeTable", fault, range(1, 7))
    unreadable = dict.fromkeys(["cut", "html"], sa.BadPageError)
    expected = {"error": sa.ServiceError, **unreadable}.get(fault, sa.ServiceConnectionError)
    with (
        pytest.raises(expected, match=f"DescribeTable of table {orders} in .* at {between.endpoint_url}"),
        source(orders, between, "earliest").stream(),
    ):
        pass
