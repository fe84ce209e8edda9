"""What Kinesis records become, through the wheel: aggregates, formats, bad parts, checkpoints."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest
from aws_kinesis_agg.aggregator import RecordAggregator

import shardarrow as sa
from services import Twin

Record = tuple[str, str | None, bytes]


class Clicks:
    """The stream `clicks` of a fake AWS."""

    def __init__(self, twin: Twin, shards: int = 1) -> None:
        self._twin = twin
        self.client = twin.client("kinesis")
        self.client.create_stream(StreamName="clicks", ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName="clicks")

    def put(self, data: bytes, key: str = "k", explicit: str | None = None) -> str:
        where = {} if explicit is None else {"ExplicitHashKey": explicit}
        answer = self.client.put_record(StreamName="clicks", Data=data, PartitionKey=key, **where)
        return str(answer["SequenceNumber"])

    def put_together(self, *records: Record) -> str:
        aggregator = RecordAggregator()
        for key, explicit, data in records:
            aggregator.add_user_record(key, data, explicit)
        key, explicit, data = aggregator.clear_and_get().get_contents()
        return self.put(data, key, explicit)

    def source(self, **options: Any) -> sa.Source:
        return sa.kinesis("clicks", endpoint_url=self._twin.endpoint_url, **options)

    def table(self, **options: Any) -> pa.Table:
        return pa.table(self.source(**options).read(poll_interval=0.02))


@pytest.fixture
def clicks(twin: Twin) -> Clicks:
    return Clicks(twin)


def test_what_was_aggregated_comes_out(twin: Twin) -> None:
    clicks, random = Clicks(twin, shards=4), Random(5)
    expected: list[tuple[str, str | None, bytes]] = []
    for _ in range(30):
        records: list[Record] = []
        for _ in range(random.randrange(1, 60)):
            key = f"key {random.randrange(20)} é"
            explicit = str(random.randrange(2**128)) if random.random() < 0.2 else None
            records.append((key, explicit, random.randbytes(random.randrange(300))))
        clicks.put_together(*records)
        clicks.put(b"alone", "plain")
        expected += [*records, ("plain", None, b"alone")]
    table = clicks.table()
    assert table.schema.names == [
        "_op",
        "_time",
        "_shard",
        "_sequence",
        "_partition_key",
        "_explicit_hash_key",
        "data",
    ]
    names = ("_partition_key", "_explicit_hash_key", "data")
    rows = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    assert sorted(rows, key=repr) == sorted(expected, key=repr)
    assert len({(shard, number) for shard, number in _places(table)}) == len(rows)


def _places(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["_shard"].to_pylist(), table["_sequence"].to_pylist(), strict=True))


def test_metrics_count_what_is_unusual(clicks: Clicks) -> None:
    whole = clicks.put_together(("a", None, b"1"), ("b", None, b"2"))
    aggregator = RecordAggregator()
    aggregator.add_user_record("a", b"1")
    clicks.put(aggregator.clear_and_get().get_contents()[2][:-1] + b"?")
    with clicks.source().stream(follow=False) as stream:
        sequences = [number for batch in stream for number in pa.record_batch(batch)["_sequence"].to_pylist()]
        decoded = stream.metrics()["decoded"]
    assert sequences[:2] == [f"{whole}:0", f"{whole}:1"] and len(sequences) == 3
    assert decoded == {
        "unfit": 0,
        "aggregates": 1,
        "broken_aggregates": 1,
        "out_of_range": 0,
        "other_tables": 0,
    }


def test_parts_of_another_shard_are_rows_and_are_counted(twin: Twin) -> None:
    clicks = Clicks(twin, shards=2)
    # Both go where the first one's key says, which is the lower half.
    clicks.put_together(("a", "0", b"here"), ("b", str(2**128 - 1), b"there"))
    with clicks.source().stream(follow=False) as stream:
        data = [value for batch in stream for value in pa.record_batch(batch)["data"].to_pylist()]
        assert (data, stream.metrics()["decoded"]["out_of_range"]) == ([b"here", b"there"], 1)


def test_json_becomes_columns_with_all_digits(clicks: Clicks) -> None:
    clicks.put(b'{"user":"ann","amount":1.5,"tags":["x",{"y":1e-300}]}\n')
    clicks.put_together(("a", None, b'{"user":"bob","amount":12345678901234567890.123456789}'))
    clicks.put(b'{"user":7,"new":true}')
    table = clicks.table(format="json")
    assert table["user"].to_pylist() == ["ann", "bob", None]
    assert [None if value is None else str(value) for value in table["amount"].to_pylist()] == [
        "1.500000000",
        "12345678901234567890.123456789",
        None,
    ]
    assert table["tags"].to_pylist() == ['["x",{"y":1e-300}]', None, None]
    assert table["_rest"].to_pylist() == [None, None, '{"user":7}']
    declared = clicks.table(format="json", schema={"new": "bool"})
    assert declared["new"].to_pylist() == [None, None, True]
    assert json.loads(declared["_rest"][2].as_py()) == {"user": 7}


def test_a_bad_part_stops_right_before_it_again_and_again(clicks: Clicks, tmp_path: Path) -> None:
    clicks.put(b'{"n":0}')
    number = clicks.put_together(("a", None, b'{"n":1}'), ("a", None, b"oops"), ("a", None, b'{"n":3}'))
    clicks.put(b'{"n":4}')
    checkpoint = str(tmp_path / "checkpoint")
    seen: list[int] = []
    for _ in range(3):
        with (
            pytest.raises(sa.BadRecordError, match=f"{number}:1 of shard"),
            clicks.source(format="json").stream(checkpoint=checkpoint, follow=False, commit="auto") as stream,
        ):
            for batch in stream:
                seen += pa.record_batch(batch)["n"].to_pylist()
    assert seen == [0, 1]
    with clicks.source(format="json").stream(
        checkpoint=checkpoint, follow=False, commit="auto", on_bad_record="quarantine"
    ) as stream:
        for batch in stream:
            seen += pa.record_batch(batch)["n"].to_pylist()
    assert seen == [0, 1, 3, 4]


def test_bad_parts_are_kept_with_the_checkpoint(clicks: Clicks, tmp_path: Path) -> None:
    number = clicks.put_together(("a", None, b'{"n":1}'), ("b", "5", b"oops"), ("a", None, b'{"n":3}'))
    with clicks.source(format="json").stream(
        checkpoint=str(tmp_path / "checkpoint"), follow=False, commit="auto", on_bad_record="quarantine"
    ) as stream:
        rows = [value for batch in stream for value in pa.record_batch(batch)["n"].to_pylist()]
        (kept,) = stream.quarantined()
    assert rows == [1, 3]
    assert kept.sequence == f"{number}:1" and "not a JSON object" in kept.reason
    raw = json.loads(kept.raw)
    assert (raw["SequenceNumber"], raw["PartitionKey"], raw["ExplicitHashKey"], raw["Data"]) == (
        f"{number}:1",
        "b",
        "5",
        "b29wcw==",
    )


def change(key: str, n: int, table: str = "orders") -> bytes:
    image = {"id": {"S": key}, "n": {"N": str(n)}}
    about = {
        "ApproximateCreationDateTime": 1700000000000000 + n,
        "ApproximateCreationDateTimePrecision": "MICROSECOND",
        "Keys": {"id": {"S": key}},
        "NewImage": image,
        "SizeBytes": 9,
    }
    return json.dumps({"eventID": key, "eventName": "INSERT", "tableName": table, "dynamodb": about}).encode()


def test_learned_keys_are_known_after_a_restart(clicks: Clicks, tmp_path: Path) -> None:
    checkpoint = str(tmp_path / "checkpoint")
    found = []
    for n in range(2):
        clicks.put(change(f"o-{n}", n))
        with clicks.source(format="dynamodb").stream(
            checkpoint=checkpoint, follow=False, commit="auto"
        ) as stream:
            found += [pa.record_batch(batch) for batch in stream]
    assert [batch.schema.metadata[b"shardarrow.keys"] for batch in found] == [b'["id"]'] * 2
    assert found[0].schema == found[1].schema
    assert [batch["_time"][0].value for batch in found] == [1700000000000000, 1700000000000001]


def test_one_table_of_two(clicks: Clicks) -> None:
    clicks.put(change("o-1", 1))
    clicks.put(change("c-1", 1, "customers"))
    with pytest.raises(sa.BadRecordError, match="changes_of="):
        clicks.table(format="dynamodb")
    assert clicks.table(format="dynamodb", changes_of="customers")["id"].to_pylist() == ["c-1"]
    with pytest.raises(sa.UsageError, match="changes_of="):
        clicks.source(changes_of="orders")


def test_one_schema_where_it_is_known(clicks: Clicks) -> None:
    clicks.put(change("o-1", 1))
    schema = {"n": "int64"}
    for options in (
        {},
        {"format": "json", "schema": {"eventName": "utf8"}},
        {"format": "dynamodb", "images": "json"},
        {"format": "dynamodb", "schema": schema, "keys": {"id": "S"}},
    ):
        with clicks.source(**options).stream(follow=False, commit="auto") as stream:
            assert pa.table(stream).num_rows == 1
    for options in ({"format": "json"}, {"format": "dynamodb", "schema": schema}):
        with (
            clicks.source(**options).stream(follow=False) as stream,
            pytest.raises(sa.UsageError, match="may grow"),
        ):
            pa.table(stream)
