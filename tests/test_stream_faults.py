"""Streams from Python against the fake AWS: rollovers, damaged answers, losses, records nobody can decode."""

from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from services import Twin

INVALID = {"kind": "invalid_json"}
DENIED = {"kind": "error", "code": "AccessDeniedException", "message": "no"}


@pytest.fixture
def orders(twin: Twin) -> "Orders":
    return Orders(twin)


class Orders:
    """A table on the fake AWS whose items have a key and a number that counts up."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        self.dynamodb = twin.client("dynamodb")
        self.written = 0

    def create(self, partitions: int = 1) -> None:
        self.twin.control("partitions", table="orders", count=partitions)
        self.dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )

    def put(self, key: str, value: str | None = None) -> None:
        self.written += 1
        item = {"pk": {"S": key}, "n": {"N": value or str(self.written)}}
        self.dynamodb.put_item(TableName="orders", Item=item)

    def source(self, **options: Any) -> sa.Source:
        place = self.twin.endpoint_url
        return sa.dynamodb("orders", endpoint_url=place, **{"start": "earliest", **options})


def read(stream: sa.Stream) -> list[dict[str, Any]]:
    return [row for batch in stream for row in batch.to_pyarrow().to_pylist()]


def test_every_change_comes_once_and_in_order_through_rollovers(orders: Orders) -> None:
    orders.create(partitions=3)
    keys = [f"key-{number}" for number in range(12)]
    for round_ in range(6):
        for key in keys:
            orders.put(key)
        orders.twin.control("roll_over", table="orders", partition=round_ % 3)
    with orders.source().stream(follow=False, settle=0.2, batch_rows=5) as stream:
        rows = read(stream)
    assert sorted(row["n"] for row in rows) == list(range(1, orders.written + 1))
    for key in keys:
        mine = [row["n"] for row in rows if row["pk"] == key]
        assert mine == sorted(mine)


def test_shards_stand_behind_their_parents(orders: Orders) -> None:
    orders.create()
    rolled = [orders.twin.control("roll_over", table="orders", partition=0) for _ in range(3)]
    shards = orders.source().shards()
    order = [shard.id for shard in shards]
    assert order == [rolled[0]["parent"], *(one["children"][0] for one in rolled)]
    assert [shard.parents for shard in shards] == [(), *((one["parent"],) for one in rolled)]
    assert [shard.is_closed for shard in shards] == [True, True, True, False]


@pytest.mark.parametrize("page", [1, 7, 100])
def test_every_shard_is_listed_however_many_pages_that_takes(orders: Orders, page: int) -> None:
    partitions = 3 * page + 1
    orders.create(partitions=partitions)
    orders.twin.control("knobs", set={"listing_page": page, "permute": 5})
    assert len(orders.source().shards()) == partitions
    calls = orders.twin.control("counters")["counters"]["DescribeStream"]["calls"]
    assert calls >= 4


def test_an_error_in_the_last_batch_of_a_shard_leaves_it_unfinished(orders: Orders, tmp_path: Path) -> None:
    """The shard is closed, and everything else in it is done."""
    orders.create()
    for _ in range(6):
        orders.put("a")
    orders.twin.control("roll_over", table="orders", partition=0)
    options: Any = {"follow": False, "settle": 0.2, "batch_rows": 2}
    with (
        pytest.raises(RuntimeError, match="of the test"),
        orders.source().stream(tmp_path / "c", **options) as stream,
    ):
        for batch in stream:
            if batch.to_pyarrow().column("n").to_pylist()[-1] == 6:
                raise RuntimeError("of the test")
    with orders.source().stream(tmp_path / "c", **options) as stream:
        assert [row["n"] for row in read(stream)] == [5, 6]


@pytest.mark.parametrize("kind", ["truncated", "invalid_json", "wrong_crc", "reset", "lost_reply"])
def test_a_damaged_answer_is_asked_for_again(orders: Orders, kind: str) -> None:
    orders.create()
    for _ in range(5):
        orders.put("a")
    orders.twin.inject("GetRecords", {"kind": kind}, times=2)
    with orders.source().stream(follow=False, settle=0.2) as stream:
        assert [row["n"] for row in read(stream)] == [1, 2, 3, 4, 5]
        assert stream.metrics()["retries"] >= 2


def test_an_answer_that_stays_damaged_is_an_error_and_the_metrics_say_so(orders: Orders) -> None:
    orders.create()
    orders.put("a")
    orders.twin.inject("GetRecords", INVALID, times=1000)
    with orders.source().stream() as stream:
        with pytest.raises(sa.BadPageError) as caught:
            next(stream)
        assert caught.value.shard
        assert stream.metrics()["state"] == "failed"
        with pytest.raises(sa.BadPageError):
            next(stream)


async def test_permission_that_stays_away_is_an_error_in_async_code_too(orders: Orders) -> None:
    orders.create()
    orders.put("a")
    orders.twin.inject("GetRecords", DENIED, times=1000)
    async with orders.source().stream() as stream:
        with pytest.raises(sa.AccessDeniedError) as caught:
            await anext(stream)
        assert isinstance(caught.value, PermissionError)
        assert caught.value.code == "AccessDeniedException"
        assert stream.metrics()["state"] == "failed"


def lose(orders: Orders, path: Path) -> None:
    """Commits one change, then lets another one be trimmed before anybody reads it."""
    orders.create()
    orders.put("a")
    with orders.source().stream(path, follow=False, settle=0.2) as stream:
        assert len(read(stream)) == 1
    orders.put("a")
    orders.twin.control("roll_over", table="orders", partition=0)
    orders.twin.control("advance", ms=26 * 3600 * 1000)
    orders.put("a")


def test_a_loss_is_an_error_that_names_the_place(orders: Orders, tmp_path: Path) -> None:
    lose(orders, tmp_path / "c")
    with (
        pytest.raises(sa.GapError, match="on_gap") as caught,
        orders.source().stream(tmp_path / "c") as stream,
    ):
        next(stream)
    assert caught.value.kind in {"gap", "trimmed"}


def test_a_loss_may_be_written_down_and_is_kept(orders: Orders, tmp_path: Path) -> None:
    lose(orders, tmp_path / "c")
    with orders.source().stream(tmp_path / "c", on_gap="continue", follow=False, settle=0.2) as stream:
        assert [row["n"] for row in read(stream)] == [3]
    with orders.source().stream(tmp_path / "c") as stream:
        gaps = stream.gaps()
    assert gaps
    assert gaps[0].stream_arn.startswith("arn:aws:dynamodb:")
    assert gaps[0].cause


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_record_that_cannot_be_decoded_follows_the_policy(
    orders: Orders, policy: Any, tmp_path: Path
) -> None:
    orders.create()
    for value in ("1", "1.5", "3"):
        orders.put("a", value)
    source = orders.source(schema={"n": "int64"})
    stream = source.stream(tmp_path / "c", on_bad_record=policy, follow=False, settle=0.2)
    if policy == "fail":
        with pytest.raises(sa.BadRecordError) as caught, stream:
            read(stream)
        assert caught.value.shard
        assert caught.value.position
        return
    with stream:
        assert [row["n"] for row in read(stream)] == [1, 3]
    [record] = stream.quarantined()
    assert b'"1.5"' in record.raw
    assert record.sequence
    assert record.reason
