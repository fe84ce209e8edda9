"""Killed at any moment, a load takes every change exactly once: as a mirror and as a log of changes."""

import random
import threading
from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from changes import Changes
from mortal import Load, mirror_differences
from services import Tables
from shardarrow.demo.emulator import Emulator

CHANGES, KEYS, KILLS = 100_000, 5_000, 20
SEED = 2


@pytest.mark.bulk
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_killed_again_and_again_every_change_takes_effect_once(
    mode: str,
    emulator: Emulator,
    tables: Tables,
    tmp_path: Path,
    scale: Callable[[int], int],
    start_process: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    table = tables.make(keys={"id": "S"})
    writer = Changes(tables.dynamodb, table, keys=scale(KEYS), total=scale(CHANGES), seed=SEED)
    source = f"dynamodb://{table}?start=earliest&endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode=mode, start=start_process)
    kills = max(6, scale(KILLS))
    kill_while_writing(load, writer, scale(CHANGES), kills)
    load.finish("--settle", "1")

    assert load.kills == kills
    assert load.kills_before_commit >= kills / 4
    records = stream_records(emulator, table)
    assert load.changes() == len(records)
    if mode == "mirror":
        assert mirror_differences(load, tables.items(table)) == []
    else:
        assert_every_change_once(load, records)
    for name, value in {"changes": len(records), "keys": scale(KEYS), "kills": load.kills}.items():
        record_property(name, value)
    record_property("before a commit", load.kills_before_commit)


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_killed_right_after_a_column_was_widened_the_file_opens_again(
    mode: str,
    emulator: Emulator,
    tables: Tables,
    tmp_path: Path,
    start_process: Callable[..., Any],
) -> None:
    table = tables.make(keys={"id": "S"})
    source = f"dynamodb://{table}?start=earliest&nested=struct&endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode=mode, start=start_process)
    for step, number in enumerate(["1", "1.5", "1" * 38, "2"]):
        nested = {"L": [{"M": {"n": {"N": number}}}]}
        tables.put(table, {"id": {"S": f"key {step}"}, "n": {"N": number}, "nested": nested})
        load.run_until_it_dies(1, "after", poll_interval=0.05)
        assert [Decimal(row["n"]) for row in load.rows()][-1] == Decimal(number)
    assert [row["n"] for row in load.rows()] == ["1", "1.5", "1" * 38, "2"]
    assert [row["nested"][0]["n"] for row in load.rows()] == ["1", "1.5", "1" * 38, "2"]


def kill_while_writing(load: Load, writer: Changes, changes: int, kills: int) -> None:
    """One part of the changes per kill, written while the load runs that is killed."""
    moments = random.Random(SEED)
    part = changes // (kills + 1)
    for kill in range(kills + 1):
        writing = threading.Thread(target=writer.write, args=(part,))
        writing.start()
        try:
            if kill == kills:
                continue
            if kill % 3 == 2:
                # Small batches, each a commit of its own: the one that is cut off is the second to fourth.
                few = {"batch_rows": max(1, part // 10), "load_interval": 0}
                load.run_until_it_dies(moments.randrange(2, 5), **few)
            else:
                load.run_until_killed(moments.random() * 0.3, "--load-interval", "0.05")
        finally:
            writing.join()


def stream_records(emulator: Emulator, table: str) -> list[dict[str, Any]]:
    """What the stream holds, in its order, by another client. The emulator has one shard for each stream."""
    streams = emulator.client("dynamodbstreams")
    [stream] = streams.list_streams(TableName=table)["Streams"]
    arn = stream["StreamArn"]
    [shard] = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[dict[str, Any]] = []
    while True:
        page = streams.get_records(ShardIterator=iterator)
        if not page["Records"]:
            return records
        records += page["Records"]
        iterator = page["NextShardIterator"]


def assert_every_change_once(load: Load, records: list[dict[str, Any]]) -> None:
    rows = load.rows()
    assert sorted(row["_event_id"] for row in rows) == sorted(record["eventID"] for record in records)
    assert by_key((row["id"], row["_sequence"], row["_op"]) for row in rows) == by_key(
        (
            record["dynamodb"]["Keys"]["id"]["S"],
            record["dynamodb"]["SequenceNumber"],
            record["eventName"].lower(),
        )
        for record in records
    )


def by_key(changes: Any) -> dict[str, list[tuple[str, str]]]:
    """The changes of each key in their order."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, sequence, op in changes:
        found[name].append((sequence, op))
    return found
