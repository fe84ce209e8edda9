"""Kinesis streams whose shards split and merge while records arrive: on the fake AWS, or on an emulator."""

import random
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import shardarrow as sa
from services import Twin

PATIENCE = 30.0
"""Seconds for an emulator to finish what it was asked to do."""


class Service(Protocol):
    """Where a stream is."""

    endpoint_url: str

    def client(self, service: str) -> Any: ...


class Records:
    """One stream. The data of each record is its number, counted from 0."""

    def __init__(self, service: Service, *, shards: int = 2, seed: int = 1, name: str = "clicks") -> None:
        self.service, self.name = service, name
        self.random = random.Random(seed)
        self.kinesis = service.client("kinesis")
        self.kinesis.create_stream(StreamName=name, ShardCount=shards)
        self._wait()
        self._put = 0
        self._acknowledged: dict[str, list[str]] = defaultdict(list)

    def source(self, **options: Any) -> sa.Source:
        return sa.kinesis(self.name, endpoint_url=self.service.endpoint_url, **options)

    def url(self, **options: str) -> str:
        given = {"endpoint_url": self.service.endpoint_url, **options}
        return f"kinesis://{self.name}?{'&'.join(f'{key}={value}' for key, value in given.items())}"

    def put(self, count: int, *, keys: int = 50, padding: int = 0) -> None:
        """Put `count` records under random keys, in their order."""
        while count > 0:
            size = min(count, 500)
            numbers = range(self._put, self._put + size)
            records = [self._record(number, keys, padding) for number in numbers]
            answer = self.kinesis.put_records(StreamName=self.name, Records=records)
            assert answer.get("FailedRecordCount", 0) == 0
            for record, result in zip(records, answer["Records"], strict=True):
                self._acknowledged[record["PartitionKey"]].append(result["SequenceNumber"])
            self._put += size
            count -= size

    def _record(self, number: int, keys: int, padding: int) -> dict[str, Any]:
        data = str(number).encode().ljust(padding)
        return {"PartitionKey": f"key {self.random.randrange(keys)}", "Data": data}

    def open_shards(self) -> list[dict[str, Any]]:
        """In the order of their hash keys."""
        page = self.kinesis.list_shards(StreamName=self.name)
        shards = page["Shards"]
        while token := page.get("NextToken"):
            page = self.kinesis.list_shards(NextToken=token)
            shards += page["Shards"]
        found = [shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"]]
        return sorted(found, key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))

    def split(self, at: int | None = None) -> None:
        shards = self.open_shards()
        shard = shards[self.random.randrange(len(shards)) if at is None else at]
        low, high = (int(shard["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        self.kinesis.split_shard(
            StreamName=self.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2)
        )
        self._wait()

    def merge(self, at: int | None = None) -> None:
        shards = self.open_shards()
        at = self.random.randrange(len(shards) - 1) if at is None else at
        self.kinesis.merge_shards(
            StreamName=self.name,
            ShardToMerge=shards[at]["ShardId"],
            AdjacentShardToMerge=shards[at + 1]["ShardId"],
        )
        self._wait()

    def reshard(self) -> None:
        """A split or a merge, whichever the dice say; between 2 and 20 shards stay open."""
        count = len(self.open_shards())
        splits = count <= 2 or (count < 20 and self.random.random() < 0.5)
        (self.split if splits else self.merge)()

    def written(self) -> dict[str, list[str]]:
        """The sequence numbers of each key's records, in the order in which they were put."""
        return dict(self._acknowledged)

    def _wait(self) -> None:
        """Until the service has done what it was asked."""
        deadline = time.monotonic() + PATIENCE
        while self._status() != "ACTIVE":
            assert time.monotonic() < deadline, f"{self.name} did not become active"
            time.sleep(0.02)

    def _status(self) -> str:
        summary = self.kinesis.describe_stream_summary(StreamName=self.name)
        return str(summary["StreamDescriptionSummary"]["StreamStatus"])


class Clicks(Records):
    """A stream on the fake AWS, which can be told what to do."""

    def __init__(self, twin: Twin, **options: Any) -> None:
        self.twin = twin
        super().__init__(twin, **options)

    def open_shards(self) -> list[dict[str, Any]]:
        """Whatever listings say at the moment."""
        awkward = self.twin.control("knobs")["knobs"]
        self.knobs(stale_ms=0, omit_share=0.0)
        found = super().open_shards()
        self.knobs(stale_ms=awkward["stale_ms"], omit_share=awkward["omit_share"])
        return found

    def knobs(self, **settings: Any) -> None:
        self.twin.control("knobs", set=settings)

    def advance(self, milliseconds: int) -> None:
        self.twin.control("advance", ms=milliseconds)

    def now(self) -> float:
        """The service's time, in seconds since 1970."""
        return float(self.twin.control("now")["now_ms"] / 1000)

    def calls(self, op: str) -> Mapping[str, Any]:
        """What the twin counted of an operation: calls, and calls by shard."""
        found: Mapping[str, Any] = self.twin.control("counters")["counters"].get(
            f"Kinesis.{op}", {"calls": 0}
        )
        return found

    def history(self) -> list[dict[str, Any]]:
        """Every record ever put, in order."""
        records: list[dict[str, Any]] = self.twin.control("kinesis_history", stream=self.name)["records"]
        return records


def by_key(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The sequence numbers of each key's rows, in their order."""
    found: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["_partition_key"]].append(row["_sequence"])
    return dict(found)


def numbers(rows: Iterable[Mapping[str, Any]]) -> list[int]:
    """The numbers that the records carry."""
    return [int(row["data"]) for row in rows]
