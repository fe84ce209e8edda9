"""A table on the fake AWS: lineages of shards that roll over, and a service that is awkward about it."""

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import shardarrow as sa
from services import Twin

HOUR = 3_600_000
"""Milliseconds."""

Change = tuple[str, str]
"""The shard and the sequence number."""


class Lineages:
    """One table of the twin. Its key is the text `id`."""

    def __init__(
        self, twin: Twin, *, partitions: int = 2, seed: int = 1, name: str = "orders", view: str = "NEW_IMAGE"
    ) -> None:
        self.twin, self.name, self.partitions = twin, name, partitions
        self.random = random.Random(seed)
        self.dynamodb = twin.client("dynamodb")
        self._written = 0
        self.read_before = 0
        """How many changes of the history some checkpoint has seen, where a test keeps one."""
        self._view = view
        self.create()

    def create(self) -> None:
        self.twin.control("partitions", table=self.name, count=self.partitions)
        self.dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": self._view},
        )

    def recreate(self) -> None:
        self.dynamodb.delete_table(TableName=self.name)
        self.create()

    def switch_off_and_on(self) -> None:
        """The stream that comes after has a new label."""
        for stream in ({"StreamEnabled": False}, {"StreamEnabled": True, "StreamViewType": self._view}):
            self.dynamodb.update_table(TableName=self.name, StreamSpecification=stream)

    def source(self, **options: Any) -> sa.Source:
        given = {"start": "earliest", "endpoint_url": self.twin.endpoint_url, **options}
        return sa.dynamodb(self.name, **given)

    def url(self, start: str = "earliest") -> str:
        return f"dynamodb://{self.name}?start={start}&endpoint_url={self.twin.endpoint_url}"

    def write(self, count: int, *, keys: int = 100, roll_over: float = 0.0) -> None:
        """Make `count` changes; after each request some partition rolls over with this probability."""
        while count > 0:
            size = min(count, keys, self.random.randrange(1, 26))
            requests = [self._request(key) for key in self.random.sample(range(keys), size)]
            self.dynamodb.batch_write_item(RequestItems={self.name: requests})
            count -= size
            if self.random.random() < roll_over:
                self.roll_over(self.random.randrange(self.partitions))

    def _request(self, key: int) -> dict[str, Any]:
        self._written += 1
        name = {"id": {"S": f"key {key}"}}
        if self.random.random() < 0.2:
            return {"DeleteRequest": {"Key": name}}
        return {"PutRequest": {"Item": name | {"n": {"N": str(self._written)}}}}

    def roll_over(self, partition: int) -> None:
        self.twin.control("roll_over", table=self.name, partition=partition)

    def advance(self, milliseconds: int) -> None:
        self.twin.control("advance", ms=milliseconds)

    def now(self) -> float:
        """The service's time, in seconds since 1970."""
        return float(self.twin.control("now")["now_ms"] / 1000)

    def history(self) -> list[dict[str, Any]]:
        """Every change ever made, in order."""
        records: list[dict[str, Any]] = self.twin.control("history", table=self.name)["records"]
        return records

    def make_awkward(self) -> None:
        """Small pages, some empty; listings that are paged, permuted and late; ends of either kind."""
        knobs = {
            "permute": self.random.randrange(1 << 32),
            "listing_page": 1 + self.random.randrange(5),
            "stale_ms": self.random.randrange(400),
            "hide_parent_ms": 300,
            "hide_child_ms": self.random.randrange(200),
            "ending_late_ms": self.random.randrange(300),
            "empty_pages": self.random.randrange(3),
            "page_records": 1 + self.random.randrange(40),
            "end_page": "mixed",
            "end_iterator": self.random.choice(["absent", "null"]),
            "records_first": self.random.random() < 0.5,
            "latest_slack": self.random.randrange(3),
        }
        self.twin.control("knobs", set=knobs)


def by_key(changes: Iterable[tuple[str, str, str]]) -> dict[str, list[Change]]:
    """Each key's changes in their order, from (key, shard, sequence number)."""
    found: dict[str, list[Change]] = defaultdict(list)
    for key, shard, sequence in changes:
        found[key].append((shard, sequence))
    return dict(found)


def written(history: Iterable[dict[str, Any]]) -> dict[str, list[Change]]:
    """What was written, by key."""
    return by_key(
        (json.loads(record["key"])["id"]["S"], record["shard"], record["sequence"]) for record in history
    )


def read(rows: Iterable[dict[str, Any]]) -> dict[str, list[Change]]:
    """What was read, by key, from rows with metadata columns."""
    return by_key((row["id"], row["_shard"], row["_sequence"]) for row in rows)


def rows_of(batches: Iterable[sa.Batch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.to_pyarrow().to_pylist()]
