"""Kinesis streams on emulators that other people make, read to the last record.

ministack is always there. The others are installed by `make emulators`; a test of one that is not installed
skips, and fails when SHARDARROW_EMULATORS=required. What an emulator does differently from the service stands
in docs/reference/conformance.md; nothing here relies on it.
"""

import datetime
import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from targets import TARGETS, Target

import shardarrow as sa
from clicks import Records, by_key, numbers
from lineages import rows_of
from mortal import Load, mirror_differences
from services import ROOT, Twin
from test_channel_kills import STREAM, Orders

POLLED = ["ministack", "ferrokinesis", "kinesis-local"]
# Without ministack, which deletes a parent with its unread records.
RESHARDED = ["ferrokinesis", "kinesis-local"]

_names = count(1)
_reason = "an emulator that is not installed"


def _require(name: str) -> None:
    installed = name == "ministack" or (ROOT / ".tools" / name / "stamp").exists()
    if installed:
        return
    if os.environ.get("SHARDARROW_EMULATORS") == "required":
        pytest.fail(f"{name} is not installed; run `make emulators`", pytrace=False)
    pytest.skip(f"{name} is not installed; run `make emulators`")


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The emulator of this name, for all tests of it."""
    _require(request.param)
    with TARGETS[request.param][0]() as target:
        yield target


def stream(target: Target, **options: Any) -> Records:
    return Records(target, name=f"stream-{next(_names)}", **options)


def rows(source: sa.Source) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = source.read().to_pyarrow().to_pylist()
    return found


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_every_record_comes_in_the_order_of_its_key(running: Target) -> None:
    records = stream(running, shards=4)
    records.put(1000)
    found = rows(records.source())
    assert by_key(found) == records.written()
    assert sorted(numbers(found)) == list(range(1000))


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_a_checkpoint_goes_on_where_it_was(running: Target, tmp_path: Path) -> None:
    records = stream(running)
    found: list[dict[str, Any]] = []
    for _ in range(3):
        records.put(100)
        with records.source().stream(tmp_path / "c", follow=False) as open_:
            found += rows_of(open_)
    assert by_key(found) == records.written()


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_latest_is_kept_by_a_checkpoint(running: Target, tmp_path: Path) -> None:
    records = stream(running)
    records.put(50)
    source = records.source(start="latest")
    with source.stream(tmp_path / "c"):
        pass
    records.put(50)
    with source.stream(tmp_path / "c", follow=False) as open_:
        found = set(numbers(rows_of(open_)))
    # Records of the two seconds before the start may come too.
    assert found >= set(range(50, 100))


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", ["ministack", "kinesis-local"], indirect=True)
def test_a_moment_of_the_past(running: Target) -> None:
    records = stream(running)
    records.put(50)
    now = datetime.datetime.now(datetime.UTC)
    assert len(rows(records.source(start=now - datetime.timedelta(minutes=5)))) == 50


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", RESHARDED, indirect=True)
def test_splits_and_merges_lose_nothing(running: Target, tmp_path: Path) -> None:
    records = stream(running, seed=3)
    found: list[dict[str, Any]] = []
    for _ in range(3):
        for _ in range(3):
            records.put(60)
            records.reshard()
        records.put(60)
        with records.source().stream(tmp_path / "c", follow=False) as open_:
            found += rows_of(open_)
    assert by_key(found) == records.written()


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", RESHARDED, indirect=True)
def test_a_stream_resharded_while_it_is_followed(running: Target) -> None:
    records = stream(running, seed=5)
    found: list[dict[str, Any]] = []
    with records.source().stream(poll_interval=0.2, discovery_interval=1.0) as open_:
        for _ in range(6):
            records.put(50)
            records.reshard()
        records.put(50)
        for batch in open_:
            found += rows_of([batch])
            if len(found) >= 350:
                break
    assert by_key(found) == records.written()


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_records_are_appended_once(running: Target, tmp_path: Path) -> None:
    records = stream(running)
    for _ in range(2):
        records.put(200)
        destination = f"duckdb:///{tmp_path}/shop.duckdb"
        sa.load(records.source(), destination, table="clicks", mode="append", follow=False)
    with duckdb.connect(tmp_path / "shop.duckdb") as database:
        found = database.execute('SELECT "_partition_key", "_sequence" FROM clicks ORDER BY rowid').fetchall()
    assert (
        by_key([{"_partition_key": key, "_sequence": number} for key, number in found]) == records.written()
    )


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_every_record_is_pushed_in_the_order_of_its_key(running: Target) -> None:
    records = stream(running, shards=4)
    records.put(1000)
    found = rows(records.source(fan_out="app"))
    assert by_key(found) == records.written()
    assert sorted(numbers(found)) == list(range(1000))


# Without ferrokinesis, which begins every subscription at the oldest record.
@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", ["ministack", "kinesis-local"], indirect=True)
def test_a_subscription_goes_on_where_its_checkpoint_is(running: Target, tmp_path: Path) -> None:
    records = stream(running)
    found: list[dict[str, Any]] = []
    for _ in range(2):
        records.put(100)
        with records.source(fan_out="app").stream(tmp_path / "c", follow=False) as open_:
            found += rows_of(open_)
    assert by_key(found) == records.written()


# Without kinesis-local, whose subscriptions do not end with their shard.
@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", ["ferrokinesis"], indirect=True)
def test_a_stream_resharded_while_it_is_pushed(running: Target) -> None:
    records = stream(running, seed=5)
    found: list[dict[str, Any]] = []
    with records.source(fan_out="app").stream(discovery_interval=1.0) as open_:
        for _ in range(6):
            records.put(50)
            records.reshard()
        records.put(50)
        for batch in open_:
            found += rows_of([batch])
            if len(found) >= 350:
                break
    assert by_key(found) == records.written()


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", ["ferrokinesis"], indirect=True)
@pytest.mark.parametrize("fan_out", [None, "app"], ids=["polled", "pushed"])
def test_a_table_that_is_scanned_and_its_changes(
    running: Target, fan_out: str | None, twin: Twin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is the fake one; its changes are carried on into a stream of that name at the emulator."""
    orders = Orders(twin, "MICROSECOND")
    # The fake table knows the stream of another account.
    unknown = {"kind": "error", "code": "UnknownOperationException", "message": "not asked here"}
    twin.inject("DescribeKinesisStreamingDestination", unknown, times=100)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", twin.endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KINESIS", running.endpoint_url)
    orders.write(100)
    orders.arrive()
    changes = sa.kinesis(STREAM, endpoint_url=twin.endpoint_url).read()
    with sa.KinesisWriter(STREAM, data="data", create=True, shards=3) as writer:
        writer.write(changes)
    source = sa.dynamodb("orders", changes=f"kinesis:{STREAM}", fan_out=fan_out)
    destination = f"duckdb:///{tmp_path}/shop.duckdb"
    report = sa.load(source, destination, table="orders", follow=False)
    running.client("kinesis").delete_stream(StreamName=STREAM, EnforceConsumerDeletion=True)
    assert report.ready and report.snapshot.scanned == len(orders.items())
    assert writer.report.written == changes.num_rows > 100
    load = Load("", tmp_path / "shop.duckdb", table="orders", mode="mirror", start=print)
    assert load.changes() == report.snapshot.scanned + changes.num_rows
    assert mirror_differences(load, orders.items()) == []


@pytest.mark.optional(_reason)
@pytest.mark.parametrize("running", POLLED, indirect=True)
def test_what_the_writer_writes_comes_back_in_the_order_of_its_keys(running: Target) -> None:
    where = {"endpoint_url": running.endpoint_url}
    name = f"stream-{next(_names)}"
    table = pa.table({"key": [f"key {n % 80}" for n in range(1200)], "n": list(range(1200))})
    with sa.KinesisWriter(name, partition_key="key", create=True, shards=3, **where) as writer:
        writer.write(table)
    assert (writer.report.written, writer.report.retried) == (1200, 0)
    found = rows(sa.kinesis(name, format="json", **where))
    assert sorted(row["n"] for row in found) == list(range(1200))
    of_key: dict[str, list[int]] = defaultdict(list)
    for row in found:
        assert row["_partition_key"] == row["key"]
        of_key[row["key"]].append(row["n"])
    assert all(numbers == sorted(numbers) for numbers in of_key.values())
