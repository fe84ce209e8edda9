"""Kinesis streams, read by polling from the fake AWS over HTTP."""

import asyncio
import base64
import datetime
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

import shardarrow as sa
from clicks import Clicks, by_key, numbers
from lineages import rows_of
from services import Twin

HOUR = 3_600_000
ENTRY = [sys.executable, "-c", "import sys; from shardarrow.cli import main; sys.exit(main())"]


@pytest.fixture
def clicks(twin: Twin) -> Clicks:
    return Clicks(twin)


def rows(source: sa.Source, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = source.read(**options).to_pyarrow().to_pylist()
    return found


def taken(stream: sa.Stream, count: int) -> list[dict[str, Any]]:
    """The rows of as many batches as have `count` of them."""
    found: list[dict[str, Any]] = []
    for batch in stream:
        found += rows_of([batch])
        if len(found) >= count:
            return found
    return found


def test_a_stream_is_read_as_it_was_put(clicks: Clicks) -> None:
    clicks.put(300)
    clicks.kinesis.put_record(StreamName="clicks", PartitionKey="größe 🐋", Data=bytes(range(256)))
    found = rows(clicks.source())
    [odd] = [row for row in found if row["_partition_key"] == "größe 🐋"]
    found.remove(odd)
    assert by_key(found) == clicks.written()
    assert odd["data"] == bytes(range(256))
    assert odd["_op"] == "put"
    assert abs(odd["_time"].timestamp() - time.time()) < 60


def test_splits_and_merges_keep_each_keys_order(clicks: Clicks) -> None:
    for _ in range(12):
        clicks.put(100)
        clicks.reshard()
    clicks.put(100)
    found = rows(clicks.source())
    assert by_key(found) == clicks.written()
    assert len(found) == 1300


def test_a_stream_resharded_while_it_is_followed(clicks: Clicks, tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    for round_ in range(6):
        with clicks.source().stream(tmp_path / "clicks.ckpt", poll_interval=0.1) as stream:
            for _ in range(3):
                clicks.put(40)
                clicks.reshard()
                clicks.put(40)
                found += taken(stream, 80)
        assert len(found) >= (round_ + 1) * 240
    assert by_key(found) == clicks.written()


async def test_the_same_for_an_event_loop(clicks: Clicks) -> None:
    clicks.put(10)
    table = await clicks.source().read_async()
    assert table.num_rows == 10
    assert len(await clicks.source().shards_async()) == 2


def test_an_awkward_service_loses_nothing(clicks: Clicks) -> None:
    clicks.knobs(
        permute=7,
        stale_ms=300,
        kinesis={
            "page_records": 7,
            "empty_pages": 2,
            "listing_page": 2,
            "hide_children_ms": 200,
            "arrival_jitter_ms": 100,
        },
    )
    for _ in range(4):
        clicks.put(30)
        clicks.reshard()
    clicks.put(30)
    assert by_key(rows(clicks.source())) == clicks.written()


@pytest.mark.parametrize("seed", range(4))
def test_faults_of_every_kind_lose_nothing(twin: Twin, seed: int) -> None:
    clicks = Clicks(twin, seed=seed)
    clicks.knobs(kinesis={"page_records": 20})
    for _ in range(3):
        clicks.put(60)
        clicks.reshard()
    errors = ["InternalFailure", "ProvisionedThroughputExceededException", "KMSThrottlingException"]
    for code in (*errors, "ExpiredIteratorException", "KMSDisabledException"):
        twin.inject("Kinesis.GetRecords", {"kind": "error", "code": code}, times=2, skip=seed)
    for kind in ("lost_reply", "reset", "invalid_json", "truncated"):
        twin.inject("Kinesis.GetRecords", {"kind": kind}, skip=seed)
    for op in ("ListShards", "GetShardIterator", "DescribeStreamSummary"):
        twin.inject(f"Kinesis.{op}", {"kind": "error", "code": "LimitExceededException"}, skip=seed % 2)
    assert by_key(rows(clicks.source())) == clicks.written()


@pytest.mark.parametrize(
    ("records", "padding", "page_records"),
    [(240, 0, 10), (1200, 10_000, 200)],
    ids=["calls", "bytes"],
)
def test_the_services_limits_are_kept_by_waiting(
    clicks: Clicks, records: int, padding: int, page_records: int
) -> None:
    """Many small pages reach the limit of calls, few large ones that of bytes."""
    clicks.put(records, padding=padding)
    rates = {"read_calls_per_second": 5.0, "read_bytes_per_second": float(2 << 20)}
    clicks.knobs(kinesis={"page_records": page_records, **rates})
    with clicks.source().stream(follow=False) as stream:
        found = rows_of(stream)
        metrics = stream.metrics()
    assert len(found) == records
    assert (metrics["throttles"], metrics["retries"]) == (0, 0)


# Where a stream begins


def test_latest_is_kept_by_a_checkpoint_that_has_seen_nothing(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(50)
    clicks.advance(60_000)
    source = clicks.source(start="latest")
    with source.stream(tmp_path / "c"):
        pass
    clicks.put(20)
    clicks.split()
    clicks.put(20)
    with source.stream(tmp_path / "c", follow=False) as stream:
        found = rows_of(stream)
    assert sorted(numbers(found)) == list(range(50, 90))


def test_a_moment_begins_with_the_records_that_arrived_then(clicks: Clicks) -> None:
    clicks.put(30)
    clicks.reshard()
    clicks.advance(10_000)
    moment = datetime.datetime.fromtimestamp(clicks.now(), datetime.UTC)
    clicks.put(30)
    clicks.reshard()
    clicks.put(30)
    assert sorted(numbers(rows(clicks.source(start=moment)))) == list(range(30, 90))
    text = moment.isoformat().replace("+00:00", "Z")
    assert len(rows(sa.source(clicks.url(start=text)))) == 60
    long_ago = moment - datetime.timedelta(days=400)
    assert len(rows(clicks.source(start=long_ago))) == 90


def test_a_moment_in_the_future_is_an_error(clicks: Clicks) -> None:
    ahead = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    with pytest.raises(sa.UsageError, match="ahead of the service's clock"):
        clicks.source(start=ahead).read()


def test_a_place_is_found_by_its_number_alone(twin: Twin) -> None:
    clicks = Clicks(twin, shards=1)
    clicks.put(40)
    history = clicks.history()
    at = clicks.source(start=sa.at(history[10]["sequence"]))
    assert numbers(rows(at)) == list(range(10, 40))
    after = sa.source(clicks.url(start=f"after:{history[10]['sequence']}@{history[10]['shard']}"))
    assert numbers(rows(after)) == list(range(11, 40))


def test_a_place_within_an_aggregated_record(twin: Twin) -> None:
    clicks = Clicks(twin, shards=1)
    cases = json.loads((Path(__file__).parent / "data" / "kinesis" / "aggregates.json").read_text())
    case = next(case for case in cases if len(case["records"]) >= 3)
    clicks.kinesis.put_record(StreamName="clicks", PartitionKey="a", Data=base64.b64decode(case["data"]))
    clicks.put(1)
    whole = rows(clicks.source())
    parts = [row["_sequence"] for row in whole]
    assert len(parts) == len(case["records"]) + 1
    assert ":" in parts[0]
    assert [row["_sequence"] for row in rows(clicks.source(start=sa.after(parts[1])))] == parts[2:]
    assert [row["_sequence"] for row in rows(clicks.source(start=sa.at(parts[1])))] == parts[1:]


# What is promised over restarts


def test_a_batch_that_was_not_finished_comes_again(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(100)
    options: dict[str, Any] = {"batch_rows": 10, "commit": "manual", "follow": False}
    with clicks.source().stream(tmp_path / "c", **options) as stream:
        batches = list(stream)
        stream.commit(batches[4])
    first = rows_of(batches[:5])
    with clicks.source().stream(tmp_path / "c", **options) as stream:
        rest = rows_of(stream)
    assert by_key([*first, *rest]) == clicks.written()
    assert len(first) + len(rest) == 100


def test_a_checkpoint_older_than_the_retention_is_a_gap(
    clicks: Clicks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clicks.put(20)
    with clicks.source().stream(tmp_path / "c", follow=False) as stream:
        assert len(rows_of(stream)) == 20
    clicks.put(20)
    clicks.advance(25 * HOUR)
    clicks.put(20)
    with (
        pytest.raises(sa.GapError, match="older than the 24 hours") as raised,
        clicks.source().stream(tmp_path / "c", follow=False) as stream,
    ):
        rows_of(stream)
    assert "resnapshot" not in str(raised.value)
    assert "may be lost already" in caplog.text and "0.0 hours" not in caplog.text
    with clicks.source().stream(tmp_path / "c", follow=False, on_gap="continue") as stream:
        found = rows_of(stream)
        gaps = stream.gaps()
    assert sorted(numbers(found)) == list(range(40, 60))
    assert len(gaps) == 2


def test_another_stream_under_the_name_is_a_gap(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(20)
    with clicks.source().stream(tmp_path / "c", follow=False) as stream:
        rows_of(stream)
    clicks.kinesis.delete_stream(StreamName="clicks")
    clicks.advance(5_000)
    clicks.kinesis.create_stream(StreamName="clicks", ShardCount=1)
    clicks.put(5)
    with (
        pytest.raises(sa.GapError, match="the stream was replaced"),
        clicks.source().stream(tmp_path / "c", follow=False) as stream,
    ):
        rows_of(stream)
    with clicks.source().stream(tmp_path / "c", follow=False, on_gap="continue") as stream:
        assert sorted(numbers(rows_of(stream))) == list(range(20, 25))


def test_closed_shards_are_not_read_again_after_a_restart(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(20)
    clicks.split(0)
    with clicks.source().stream(tmp_path / "c", follow=False) as stream:
        rows_of(stream)
    clicks.twin.control("reset_calls")
    with clicks.source().stream(tmp_path / "c", follow=False) as stream:
        assert rows_of(stream) == []
    opened = clicks.calls("GetShardIterator")["shards"]
    assert sorted(opened) == [f"clicks/shardId-00000000000{number}" for number in (1, 2, 3)]


def test_a_deleted_stream_ends_with_an_error_that_names_it(clicks: Clicks) -> None:
    clicks.put(5)
    with clicks.source().stream(poll_interval=0.1) as stream:
        taken(stream, 5)
        clicks.kinesis.delete_stream(StreamName="clicks")
        with pytest.raises(sa.NotFoundError, match="there is no Kinesis stream clicks"):
            rows_of(stream)


# Loading


def test_records_are_appended_exactly_once(clicks: Clicks, tmp_path: Path) -> None:
    shop = f"duckdb:///{tmp_path}/shop.duckdb"
    for _ in range(3):
        clicks.put(100)
        clicks.reshard()
        sa.load(clicks.source(), shop, mode="append", follow=False)
    with duckdb.connect(tmp_path / "shop.duckdb") as database:
        found = database.execute('SELECT "_partition_key", "_sequence" FROM clicks ORDER BY rowid').fetchall()
    rows_ = [{"_partition_key": key, "_sequence": sequence} for key, sequence in found]
    assert by_key(rows_) == clicks.written()


def test_what_a_stream_cannot_do_is_said_before_anything_is_asked(clicks: Clicks, tmp_path: Path) -> None:
    shop = f"duckdb:///{tmp_path}/shop.duckdb"
    cases: list[tuple[str, Callable[[], object]]] = [
        ("records of a Kinesis stream have none", lambda: sa.load(clicks.source(), shop)),
        ("scans a table again", lambda: clicks.source().stream(on_gap="resnapshot")),
        ("has none", lambda: clicks.source(start="snapshot")),
        ("no time zone", lambda: clicks.source(start=datetime.datetime(2026, 1, 1))),
        ("is a day", lambda: clicks.source(start=datetime.date(2026, 1, 1))),
        ("'foo' is not a place to start in Kinesis", lambda: clicks.source(start="foo")),
        ("format", lambda: clicks.source(format="avro")),
        ("keys= is about the changes", lambda: clicks.source(keys={"id": "S"})),
        ("one or two names", lambda: clicks.source(format="dynamodb", keys={})),
        ("is not one of", lambda: clicks.source(format="dynamodb", keys={"id": "X"})),
        ("images= is about", lambda: clicks.source(images="json")),
        ("only Kinesis has records within", lambda: sa.dynamodb("orders", start=sa.at("1:2"))),
        ("must be a name or an ARN", lambda: sa.kinesis("")),
        ("is not the name of a Kinesis stream", lambda: sa.kinesis("a/b").shards()),
        ("is not the ARN of a Kinesis stream", lambda: sa.kinesis("arn:aws:sns:x").shards()),
        ("unknown option 'segments'", lambda: sa.source("kinesis://clicks?segments=3")),
        ("has the format dynamodb", lambda: sa.source("kinesis+dynamodb://clicks?format=json")),
    ]
    clicks.twin.control("reset_calls")
    for words, call in cases:
        with pytest.raises(sa.UsageError, match=words):
            call()
    assert clicks.twin.control("calls", last=10)["calls"] == []
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_is_not_there_is_named(twin: Twin) -> None:
    with pytest.raises(sa.NotFoundError, match=r"no Kinesis stream nothing in region .* at http"):
        sa.kinesis("nothing", endpoint_url=twin.endpoint_url).read()


def test_a_url_and_the_repr_hide_credentials() -> None:
    source = sa.source(
        "kinesis://clicks?region=eu-west-1&secret_access_key=HIDE&access_key_id=HIDE&format=json"
    )
    assert (
        repr(source)
        == "kinesis('clicks', region='eu-west-1', access_key_id=…, secret_access_key=…, format='json')"
    )
    with pytest.raises(sa.UsageError) as raised:
        sa.source("kinesis://clicks?secret_access_key=HIDE&nothing=1")
    assert "HIDE" not in str(raised.value)
    assert repr(sa.source("kinesis+dynamodb://cdc?keys=id:S")) == (
        "kinesis('cdc', format='dynamodb', keys={'id': 'S'})"
    )


def test_the_lag_is_what_the_service_says(clicks: Clicks) -> None:
    clicks.put(10)
    clicks.advance(100_000)
    clicks.put(10)
    clicks.knobs(kinesis={"page_records": 1})
    with clicks.source().stream(batch_wait=0, batch_rows=1) as stream:
        next(iter(stream))
        lag = stream.metrics()["lag_seconds"]
    assert 90 < lag < 200


# The command line


def cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ENTRY, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_commands_take_a_stream(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(30)
    clicks.split(0)
    read = cli("read", clicks.url(), str(tmp_path / "clicks.jsonl"))
    assert read.returncode == 0, read.stderr
    assert len((tmp_path / "clicks.jsonl").read_text().splitlines()) == 30
    shards = cli("shards", clicks.url())
    assert shards.stdout.count("shardId-") == 4 + 2, shards.stdout
    load = cli("load", clicks.url(), f"duckdb:///{tmp_path}/c.duckdb", "--mode", "append", "--once")
    assert load.returncode == 0, load.stderr
    refused = cli("load", clicks.url(), f"duckdb:///{tmp_path}/c.duckdb", "--once")
    assert refused.returncode == 2
    assert "mode='append'" in refused.stderr


def test_tail_follows_a_stream(clicks: Clicks, start_process: Callable[..., subprocess.Popen[str]]) -> None:
    tail = start_process(*ENTRY, "tail", clicks.url(start="earliest"))
    clicks.put(3)
    assert tail.stdout is not None
    lines = [tail.stdout.readline() for _ in range(3)]
    assert all("key " in line for line in lines), lines


def test_many_shards_are_read_within_the_memory_limit(twin: Twin) -> None:
    clicks = Clicks(twin, shards=40)
    clicks.put(2000, keys=1000)
    with clicks.source().stream(follow=False, memory_limit="64MiB") as stream:
        found = rows_of(stream)
        peak = stream.metrics()["memory_peak"]
    assert by_key(found) == clicks.written()
    assert peak <= 64 << 20


async def test_closing_does_not_wait_for_the_service(clicks: Clicks) -> None:
    clicks.twin.inject("Kinesis.GetRecords", {"kind": "hang"}, times=10)
    begun = time.monotonic()
    async with clicks.source().stream() as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(stream)
    assert time.monotonic() - begun < 20
