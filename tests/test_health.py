"""A stream says how late it is, and raises when it gets no further."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from lineages import HOUR, Lineages
from services import Twin

ALWAYS = 100_000
FAILING = {"kind": "error", "code": "InternalServerError", "status": 500, "message": "no"}
QUICK: dict[str, Any] = {"follow": False, "settle": 0.3, "poll_interval": 0.02}


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    orders = Lineages(twin, partitions=1)
    orders.write(5)
    return orders


def test_a_stream_that_has_caught_up_is_not_late(orders: Lineages) -> None:
    with orders.source().stream(**QUICK) as stream:
        assert list(stream)
        metrics = stream.metrics()
    assert metrics["lag_seconds"] == 0
    assert metrics["retention_used"] < 0.01
    [shard] = metrics["shards"].values()
    assert shard["retention_used"] == metrics["retention_used"]


def test_a_stream_far_behind_says_so_in_the_log_and_in_the_metrics(
    orders: Lineages, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "orders.ckpt"
    with orders.source().stream(path, **QUICK) as stream:
        assert list(stream)
    orders.advance(13 * HOUR)
    orders.write(5)
    with caplog.at_level(logging.WARNING, "shardarrow"), orders.source().stream(path, **QUICK) as stream:
        late = stream.metrics()["retention_used"]
        assert list(stream)
        recovered = stream.metrics()["retention_used"]
    assert 0.54 < late < 0.55
    assert recovered < 0.01
    [said] = [record.getMessage() for record in caplog.records]
    assert "54 % of the 24 hours" in said
    assert "11.0 hours" in said


@pytest.mark.parametrize("op", ["GetRecords", "GetShardIterator"])
@pytest.mark.parametrize(
    "fault", [FAILING, {"kind": "hang"}, {"kind": "reset"}], ids=["error", "hang", "reset"]
)
def test_a_shard_without_a_successful_call_raises(orders: Lineages, op: str, fault: dict[str, Any]) -> None:
    orders.twin.inject(op, fault, times=ALWAYS)
    source = orders.source(attempt_timeout=0.2)
    with source.stream(stall_timeout=1, poll_interval=0.05) as stream:
        with pytest.raises(sa.StalledError, match="stall_timeout") as caught:
            next(stream)
        assert isinstance(caught.value, TimeoutError)
        assert stream.metrics()["state"] == "failed"


async def test_a_shard_that_stops_answering_raises_in_async_code_too(orders: Lineages) -> None:
    async with orders.source(attempt_timeout=0.2).stream(stall_timeout=1, poll_interval=0.05) as stream:
        assert (await anext(stream)).num_rows == len(orders.history())
        orders.twin.inject("GetRecords", {"kind": "hang"}, times=ALWAYS)
        with pytest.raises(sa.StalledError):
            await asyncio.wait_for(anext(stream), 60)


def test_shards_that_cannot_be_listed_are_a_stall(orders: Lineages) -> None:
    with orders.source().stream(stall_timeout=1, poll_interval=0.05, discovery_interval=0.1) as stream:
        orders.twin.inject("DescribeStream", FAILING, times=ALWAYS)
        with pytest.raises(sa.StalledError, match="could not be listed"):
            for _ in stream:
                pass


def test_a_stream_that_stays_enabling_is_a_stall(twin: Twin) -> None:
    twin.control("knobs", set={"enabling_ms": HOUR})
    orders = Lineages(twin, partitions=1)
    with pytest.raises(sa.StalledError, match="ENABLING"), orders.source().stream(stall_timeout=1):
        pass
