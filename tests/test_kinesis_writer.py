"""`sa.KinesisWriter` against the fake Kinesis: what arrives, in which order, and what is refused."""

import asyncio
import base64
import datetime
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import shardarrow as sa
from services import Twin

THROTTLED = "ProvisionedThroughputExceededException"
Write = Callable[..., sa.WriterReport]


@pytest.fixture
def stream(twin: Twin) -> Iterator[str]:
    twin.client("kinesis").create_stream(StreamName="clicks", ShardCount=4)
    yield "clicks"


@pytest.fixture
def writer(twin: Twin, stream: str) -> Callable[..., sa.KinesisWriter]:
    return lambda **options: sa.KinesisWriter(stream, endpoint_url=twin.endpoint_url, **options)


def written(twin: Twin, stream: str = "clicks") -> list[tuple[str, bytes]]:
    """Partition key and data of every record ever put, in the order of writing."""
    history = twin.control("kinesis_history", stream=stream)["records"]
    return [(record["partition_key"], base64.b64decode(record["data"])) for record in history]


def rows(count: int, keys: int = 7) -> pa.Table:
    return pa.table({"user": [f"user-{n % keys}" for n in range(count)], "n": list(range(count))})


def numbers_by_key(records: Sequence[tuple[str, bytes]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for key, data in records:
        found[key].append(json.loads(data)["n"])
    return dict(found)


def without_repeats(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def test_rows_arrive_as_json_with_their_key(twin: Twin, writer: Write) -> None:
    table = pa.table(
        {
            "user": ["a", "b"],
            "amount": pa.array([Decimal("19.90"), None], pa.decimal128(38, 9)),
            "big": [2**63 - 1, -(2**63)],
            "at": pa.array([datetime.datetime(2026, 11, 21, 12, tzinfo=datetime.UTC)] * 2),
            "raw": [b"\x00\xff", b""],
            "tags": [["x", None], []],
        }
    )
    with writer(partition_key="user") as open_writer:
        open_writer.write(table)
    assert written(twin) == [
        (
            "a",
            b'{"user":"a","amount":19.9,"big":9223372036854775807,"at":"2026-11-21T12:00:00.000000Z",'
            b'"raw":"AP8=","tags":["x",null]}',
        ),
        (
            "b",
            b'{"user":"b","big":-9223372036854775808,"at":"2026-11-21T12:00:00.000000Z","raw":"","tags":[]}',
        ),
    ]
    report = open_writer.report
    assert (report.rows, report.written, report.waiting, report.retried) == (2, 2, 0, 0)
    assert report.bytes == sum(len(key) + len(data) for key, data in written(twin))


def test_every_arrow_library_can_be_written_from(twin: Twin, writer: Write) -> None:
    frame = pl.DataFrame({"user": ["p"], "text": ["a text of more than twelve bytes"], "kind": ["x"]})
    frame = frame.with_columns(pl.col("kind").cast(pl.Categorical))
    with writer(partition_key="user") as open_writer:
        open_writer.write(frame)
        open_writer.write(duckdb.sql("SELECT 'd' AS user, 1.50::DECIMAL(5,2) AS amount, NULL AS nothing"))
        open_writer.write(pa.record_batch({"user": ["r"]}))
        open_writer.write(pa.table({"user": []}, schema=pa.schema({"user": pa.string()})))
        open_writer.flush()
        assert open_writer.report.waiting == 0
    assert sorted(written(twin)) == [
        ("d", b'{"user":"d","amount":1.5}'),
        ("p", b'{"user":"p","text":"a text of more than twelve bytes","kind":"x"}'),
        ("r", b'{"user":"r"}'),
    ]


def test_a_template_several_columns_and_a_hash_key(twin: Twin, writer: Write) -> None:
    table = pa.table({"a": ["x"], "b": [1], "hash": [str(2**128 - 1)], "body": [b"\x01"]})
    for key, found in [("{a}-{b}", "x-1"), (["a", "b"], "x|1")]:
        with writer(partition_key=key, explicit_hash_key="hash", data="body") as open_writer:
            open_writer.write(table)
        assert written(twin)[-1] == (found, b"\x01")
    shards = {record["shard"] for record in twin.control("kinesis_history", stream="clicks")["records"]}
    assert shards == {"shardId-000000000003"}, "the hash key chooses the last shard"


def test_a_request_holds_500_records_and_5_mebibytes(twin: Twin, writer: Write) -> None:
    with writer(partition_key="k") as open_writer:
        open_writer.write(pa.table({"k": [str(n) for n in range(1100)]}))
    many = open_writer.report
    with writer(partition_key="k", data="body") as open_writer:
        open_writer.write(pa.table({"k": [str(n) for n in range(12)], "body": [b"x" * 1_000_000] * 12}))
    assert len(written(twin)) == 1112
    assert many.requests >= 3
    assert open_writer.report.requests >= 3


def test_a_record_may_be_as_large_as_its_stream_allows(twin: Twin, writer: Write) -> None:
    table = pa.table({"k": ["a"], "body": [b"x" * (3 << 20)]})
    too_large = pytest.raises(sa.BadRecordError, match=r"row 0: .*3145729 bytes .* at most 1048576")
    with writer(partition_key="k", data="body") as open_writer, too_large:
        open_writer.write(table)
    arn = twin.client("kinesis").describe_stream_summary(StreamName="clicks")
    arn = arn["StreamDescriptionSummary"]["StreamARN"]
    twin.client("kinesis").update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=10240)
    with writer(partition_key="k", data="body") as open_writer:
        open_writer.write(table)
        open_writer.write(pa.table({"k": ["b"], "body": [b"y" * ((10 << 20) - 1)]}))
    assert [len(data) for _, data in written(twin)] == [3 << 20, (10 << 20) - 1]


def test_records_that_fail_are_sent_again_and_their_keys_wait(twin: Twin, writer: Write) -> None:
    twin.control("knobs", set={"kinesis": {"put_fail_share": 0.3}})
    with writer(partition_key="user") as open_writer:
        open_writer.write(rows(600, keys=40))
    assert numbers_by_key(written(twin)) == numbers_by_key(
        [(f"user-{n % 40}", json.dumps({"n": n}).encode()) for n in range(600)]
    )
    report = open_writer.report
    assert report.written == 600 and report.retried > 50 and report.unanswered == 0


def test_a_busy_shard_is_waited_for(twin: Twin, writer: Write) -> None:
    twin.control("knobs", set={"kinesis": {"written_records_per_second": 200}})
    with writer(partition_key="user", ordered=False) as open_writer:
        open_writer.write(rows(1500, keys=40))
    assert sorted(json.loads(data)["n"] for _, data in written(twin)) == list(range(1500))
    assert open_writer.report.throttled > 0


@pytest.mark.parametrize("kind", ["lost_reply", "reset", "truncated", "invalid_json"])
def test_lost_requests_and_answers_keep_the_order_of_a_key(twin: Twin, writer: Write, kind: str) -> None:
    twin.inject("Kinesis.PutRecords", {"kind": kind}, times=4)
    with writer(partition_key="user") as open_writer:
        open_writer.write(rows(400, keys=20))
    for key, numbers in numbers_by_key(written(twin)).items():
        assert numbers == sorted(numbers), "a repetition stands beside its first"
        assert without_repeats(numbers) == list(range(int(key.removeprefix("user-")), 400, 20))
    assert open_writer.report.unanswered == 4


def test_a_throttled_request_is_sent_again(twin: Twin, writer: Write) -> None:
    fault = {"kind": "error", "code": THROTTLED}
    twin.inject("Kinesis.PutRecords", fault, times=3)
    twin.inject("Kinesis.PutRecords", {"kind": "error", "code": "InternalFailure", "status": 500}, times=2)
    with writer(partition_key="user") as open_writer:
        open_writer.write(rows(10))
    assert len(written(twin)) == 10
    assert open_writer.report.throttled > 0


def test_a_refusal_for_good_ends_the_writer(twin: Twin, writer: Write) -> None:
    twin.inject("Kinesis.PutRecords", {"kind": "error", "code": "AccessDeniedException"}, times=9)
    open_writer = writer(partition_key="user")
    with pytest.raises(sa.AccessDeniedError, match="kinesis:PutRecords"), open_writer:
        open_writer.write(rows(3))
        open_writer.flush()
    assert open_writer.report.waiting == 3
    assert written(twin) == []


def test_patience_is_bounded(twin: Twin, writer: Write) -> None:
    impatient = writer(partition_key="user", stall_timeout=0.3)
    late = pytest.raises(sa.ServiceError, match=r"for 0\.3 s .* row 1 \(of everything written\) .*\"late\"")
    with late, impatient:
        impatient.write(pa.table({"user": ["early"]}))
        impatient.flush()
        twin.control("knobs", set={"kinesis": {"put_fail_share": 1.0}})
        impatient.write(pa.table({"user": ["late"]}))


def test_a_row_that_cannot_be_written_is_named_and_the_rest_stays_usable(twin: Twin, writer: Write) -> None:
    table = pa.table({"user": ["a", "b", None, "d"], "n": [0, 1, 2, 3]})
    with writer(partition_key="user") as open_writer:
        with pytest.raises(sa.BadRecordError, match='row 2: "user" is null'):
            open_writer.write(table)
        with pytest.raises(sa.UsageError, match="customer"):
            writer_of_another_key(twin, table)
        with pytest.raises(TypeError, match="Arrow"):
            open_writer.write([1, 2])
        open_writer.write(table.slice(3))
    assert sorted(key for key, _ in written(twin)) == ["a", "b", "d"]


def writer_of_another_key(twin: Twin, table: pa.Table) -> None:
    with sa.KinesisWriter("clicks", partition_key="customer", endpoint_url=twin.endpoint_url) as writer:
        writer.write(table)


def test_a_missing_stream_is_made_on_request(twin: Twin) -> None:
    where = {"endpoint_url": twin.endpoint_url}
    missing = pytest.raises(sa.NotFoundError, match=r"no Kinesis stream fresh .*create=True")
    with missing, sa.KinesisWriter("fresh", **where):
        pass
    twin.control("knobs", set={"kinesis": {"creating_ms": 600}})
    with sa.KinesisWriter("fresh", partition_key="user", create=True, shards=3, **where) as writer:
        writer.write(rows(5))
    assert len(written(twin, "fresh")) == 5
    listed = twin.client("kinesis").list_shards(StreamName="fresh")["Shards"]
    assert len(listed) == 3
    with sa.KinesisWriter("fresh", partition_key="user", create=True, **where) as writer:
        writer.write(rows(1))
    assert len(twin.client("kinesis").list_shards(StreamName="fresh")["Shards"]) == 3


def test_an_event_loop_writes_too(twin: Twin, writer: Write) -> None:
    async def work() -> None:
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        async with writer(partition_key="user", memory_limit=100_000) as open_writer:
            await open_writer.write_async(rows(20_000, keys=1000))
            await open_writer.flush_async()
            assert open_writer.report.waiting == 0
            await open_writer.write_async(rows(1))
        task.cancel()
        assert turns > 3

    asyncio.run(work())
    assert len(written(twin)) == 20_001


def test_memory_is_bounded_by_waiting(twin: Twin, writer: Write) -> None:
    with writer(partition_key="k", data="body", memory_limit="4MiB") as open_writer:
        for _ in range(10):
            open_writer.write(pa.table({"k": ["a", "b", "c"], "body": [b"x" * 900_000] * 3}))
            assert open_writer.report.waiting <= 8
    assert len(written(twin)) == 30


def test_leaving_by_an_exception_does_not_wait(twin: Twin, writer: Write) -> None:
    twin.control("knobs", set={"kinesis": {"put_fail_share": 1.0}})
    with pytest.raises(KeyError), writer(partition_key="user") as open_writer:
        open_writer.write(rows(10))
        raise KeyError
    assert open_writer.report.waiting == 10
    with pytest.raises(sa.ClosedError):
        open_writer.write(rows(1))
    with pytest.raises(sa.ClosedError):
        open_writer.__enter__()


def test_records_of_one_stream_go_into_another_as_they_were(twin: Twin, writer: Write) -> None:
    put = twin.client("kinesis").put_record
    put(StreamName="clicks", PartitionKey="p", Data=b"\x00\x01")
    put(StreamName="clicks", PartitionKey="q", Data=b"text", ExplicitHashKey="5")
    where = {"endpoint_url": twin.endpoint_url}
    copy = sa.KinesisWriter("copy", data="data", create=True, **where)
    with sa.kinesis("clicks", **where).stream(follow=False) as stream, copy:
        for batch in stream:
            copy.write(batch)
    assert sorted(written(twin, "copy")) == [("p", b"\x00\x01"), ("q", b"text")]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"stream": ""}, "stream"),
        ({"stream": "a/b"}, "a/b"),
        ({"partition_key": "{a"}, "template"),
        ({"partition_key": []}, "partition_key"),
        ({"shards": 0}, "shards"),
        ({"max_requests": 0}, "max_requests"),
        ({"memory_limit": "much"}, "memory_limit"),
        ({"stall_timeout": -1}, "stall_timeout"),
        ({"region": 5}, "region"),
        ({"access_key_id": "x"}, "secret_access_key"),
        ({"connect_timeout": -1}, "connect_timeout"),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(sa.UsageError, match=named), sa.KinesisWriter(**{"stream": "clicks", **options}):
        pass


def test_the_repr_shows_no_secret() -> None:
    writer = sa.KinesisWriter("clicks", access_key_id="hidden", secret_access_key="hidden")
    assert repr(writer) == "<KinesisWriter to clicks, not open>"
    with pytest.raises(TypeError, match="regoin"):
        sa.KinesisWriter("clicks", regoin="x")  # type: ignore[call-arg]
