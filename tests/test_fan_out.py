"""Enhanced fan-out against the fake Kinesis: records that are pushed, over sessions that end in every way."""

import base64
import random
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import shardarrow as sa
from services import Twin

STREAM = "clicks"
SECONDS = 120


@pytest.fixture
def kinesis(twin: Twin) -> Any:
    client = twin.client("kinesis")
    client.create_stream(StreamName=STREAM, ShardCount=3)
    return client


def source(twin: Twin, **options: Any) -> sa.Source:
    return sa.kinesis(STREAM, endpoint_url=twin.endpoint_url, **{"fan_out": "app", **options})


def put(kinesis: Any, numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, 100):
        batch = range(start, min(start + 100, numbers.stop))
        records = [{"PartitionKey": f"key {n % 7}", "Data": str(n).encode()} for n in batch]
        assert kinesis.put_records(StreamName=STREAM, Records=records)["FailedRecordCount"] == 0


def numbers(batch: Any) -> list[int]:
    return [int(data) for data in pa.record_batch(batch)["data"].to_pylist()]


def consumers(kinesis: Any) -> list[str]:
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    return [
        consumer["ConsumerName"] for consumer in kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
    ]


def take(stream: sa.Stream, count: int) -> list[int]:
    """The numbers of the next batches until there are so many."""
    found: list[int] = []
    for batch in stream:
        found += numbers(batch)
        if len(found) >= count:
            return found
    raise AssertionError("the stream ended")


def calls(twin: Twin, operation: str) -> int:
    return int(twin.control("counters")["counters"].get(f"Kinesis.{operation}", {"calls": 0})["calls"])


def test_records_are_pushed_and_nothing_is_polled(twin: Twin, kinesis: Any) -> None:
    put(kinesis, range(50))
    table = pa.table(source(twin).read(settle=0.2))
    assert sorted(int(data) for data in table["data"].to_pylist()) == list(range(50))
    assert calls(twin, "SubscribeToShard") == 3
    assert calls(twin, "GetRecords") == calls(twin, "GetShardIterator") == 0


def test_what_is_pushed_and_what_is_polled_is_the_same(twin: Twin, kinesis: Any) -> None:
    put(kinesis, range(50))
    pushed, polled = (
        sorted(
            pa.table(source(twin, fan_out=fan_out).read(settle=0.2)).to_pylist(),
            key=lambda row: (row["_shard"], int(row["_sequence"])),
        )
        for fan_out in ("app", None)
    )
    assert len(polled) == 50 and pushed == polled


def test_a_stream_goes_on_where_its_checkpoint_is(twin: Twin, kinesis: Any, tmp_path: Path) -> None:
    twin.control("knobs", set={"kinesis": {"takeover_ms": 200}})
    put(kinesis, range(10))
    for start in (0, 10, 20):
        with source(twin).stream(tmp_path / "c") as stream:
            assert sorted(take(stream, 10)) == list(range(start, start + 10))
        put(kinesis, range(start + 10, start + 20))


def test_polling_and_pushing_go_on_from_each_other(twin: Twin, kinesis: Any, tmp_path: Path) -> None:
    put(kinesis, range(10))
    for start, fan_out in [(0, None), (10, "app"), (20, None)]:
        with source(twin, fan_out=fan_out).stream(tmp_path / "c") as stream:
            assert sorted(take(stream, 10)) == list(range(start, start + 10))
        put(kinesis, range(start + 10, start + 20))


def test_the_consumer_is_registered_once_and_stays(twin: Twin, kinesis: Any) -> None:
    put(kinesis, range(3))
    assert source(twin).shards() and consumers(kinesis) == []
    for _ in range(2):
        with source(twin).stream() as stream:
            assert len(take(stream, 3)) == 3
    assert consumers(kinesis) == ["app"]
    assert calls(twin, "RegisterStreamConsumer") == 1
    source(twin).deregister()
    assert consumers(kinesis) == []
    source(twin).deregister()


def test_the_command_line_deregisters(twin: Twin, kinesis: Any) -> None:
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.register_stream_consumer(StreamARN=arn, ConsumerName="app")
    program = str(Path(sys.executable).with_name("shardarrow"))
    url = f"kinesis://{STREAM}?endpoint_url={twin.endpoint_url}"
    run = subprocess.run([program, "deregister", url], capture_output=True, text=True, timeout=60)
    assert run.returncode == 2 and "fan_out" in run.stderr
    run = subprocess.run(
        [program, "deregister", f"{url}&fan_out=app"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0 and "consumer app of clicks is deregistered" in run.stderr
    assert consumers(kinesis) == []


def test_a_full_stream_says_what_to_do(twin: Twin, kinesis: Any) -> None:
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    for number in range(20):
        kinesis.register_stream_consumer(StreamARN=arn, ConsumerName=f"c-{number}")
    with (
        pytest.raises(sa.StreamUnusableError, match="deregister one") as error,
        source(twin).stream() as stream,
    ):
        next(iter(stream))
    assert error.value.code == "LimitExceededException"


@pytest.mark.parametrize(
    "fan_out",
    ["", 7, "a b", "arn:aws:kinesis:x", "arn:aws:kinesis:eu-west-1:123456789012:stream/views/consumer/a:1"],
)
def test_what_is_no_consumer_is_named(fan_out: Any) -> None:
    with pytest.raises(sa.UsageError, match="fan_out"):
        sa.kinesis(STREAM, fan_out=fan_out, region="eu-west-1").shards()


def test_a_url_names_the_consumer(twin: Twin, kinesis: Any) -> None:
    put(kinesis, range(5))
    url = f"kinesis://{STREAM}?fan_out=app&endpoint_url={twin.endpoint_url}"
    assert pa.table(sa.source(url).read(settle=0.2)).num_rows == 5
    assert consumers(kinesis) == ["app"]


def test_another_reader_is_told_of_and_nothing_is_lost(twin: Twin, kinesis: Any) -> None:
    """Somebody takes every subscription of one shard as soon as it may be taken."""
    knobs = {"takeover_ms": 200, "idle_event_ms": 200}
    twin.control("knobs", set={"kinesis": knobs})
    with source(twin).stream() as stream:
        put(kinesis, range(30))
        found = take(stream, 30)
        (arn,) = [consumer["ConsumerARN"] for consumer in _consumers(kinesis)]
        told = ""
        for number in range(30, 1000):
            thief = _subscribe(kinesis, arn)
            put(kinesis, range(number, number + 1))
            found += take(stream, 1)
            thief.close()
            told = stream.metrics()["shards"]["shardId-000000000000"]["last_error"] or told
            if "another reader" in told and "shardId-000000000000" in told:
                break
        else:
            pytest.fail("nobody was told of the other reader")
        put(kinesis, range(2000, 2100))
        found += take(stream, number + 1 + 100 - len(found))
    assert sorted(found) == [*range(number + 1), *range(2000, 2100)]


def _consumers(kinesis: Any) -> list[dict[str, Any]]:
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    consumers: list[dict[str, Any]] = kinesis.list_stream_consumers(StreamARN=arn)["Consumers"]
    return consumers


def _subscribe(kinesis: Any, consumer: str) -> Any:
    """Takes the subscription of the first shard, as soon as the service allows it."""
    while True:
        try:
            return kinesis.subscribe_to_shard(
                ConsumerARN=consumer,
                ShardId="shardId-000000000000",
                StartingPosition={"Type": "LATEST"},
            )["EventStream"]
        except kinesis.exceptions.ResourceInUseException:
            continue


class Writing:
    """Writes numbers in order of their keys and reshards the stream, until it is stopped."""

    def __init__(self, kinesis: Any, twin: Twin, seed: int) -> None:
        self.count = 0
        self.reshards = 0
        self.faults = 0
        self._kinesis, self._twin, self._random = kinesis, twin, random.Random(seed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writing":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def stop(self) -> int:
        self._stopped.set()
        self._thread.join()
        return self.count

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            count = self._random.randint(1, 60)
            put(self._kinesis, range(self.count, self.count + count))
            self.count += count
            if self._random.random() < 0.02:
                self._twin.control("scale", stream=STREAM, shards=self._random.choice([2, 3, 4, 5]))
                self.reshards += 1
            # Seldom enough that what is broken recovers: the service takes a new session after 5 seconds.
            if self._random.random() < 0.003:
                kind = self._random.choice(["reset", "truncated", "wrong_crc", "lost_reply"])
                self._twin.inject("Kinesis.SubscribeToShardEvent", {"kind": kind})
                self.faults += 1


@pytest.mark.bulk
@pytest.mark.timeout(600)
def test_sessions_that_are_cut_lose_nothing_and_repeat_nothing(
    twin: Twin,
    kinesis: Any,
    tmp_path: Path,
    scale: Callable[[int], int],
    record_property: Callable[[str, object], None],
) -> None:
    """The server ends each session after 6 seconds, others break, shards split and merge, and the
    reader itself leaves and comes back: what was committed is every record once, in order of its key."""
    twin.control("knobs", set={"kinesis": {"fan_out_session_ms": 6_000}})
    seconds = max(15, scale(SECONDS))
    if seconds == SECONDS:
        # Half-open: nothing comes for 30 seconds on a connection that stands.
        twin.inject("Kinesis.SubscribeToShardEvent", {"kind": "hang"}, skip=20)
    until = time.monotonic() + seconds
    found: list[int] = []
    restarts = 0
    with Writing(kinesis, twin, seed=5) as writing:
        while time.monotonic() < until:
            with source(twin).stream(tmp_path / "c", poll_interval=0.05, discovery_interval=1) as stream:
                found += take(stream, 4000)
            restarts += 1
        total = writing.stop()
    if total > len(found):
        with source(twin).stream(tmp_path / "c", discovery_interval=1) as stream:
            found += take(stream, total - len(found))
    history = twin.control("kinesis_history", stream=STREAM)["records"]
    assert sorted(found) == sorted(int(base64.b64decode(record["data"])) for record in history)
    by_key: dict[int, list[int]] = defaultdict(list)
    for number in found:
        by_key[number % 7].append(number)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    sessions = calls(twin, "SubscribeToShard")
    assert sessions > 3 * (restarts + 1) and writing.reshards and writing.faults
    for name, value in {
        "seconds": seconds,
        "records": total,
        "sessions": sessions,
        "reshards": writing.reshards,
        "broken sessions": writing.faults,
        "restarts": restarts,
    }.items():
        record_property(name, value)
