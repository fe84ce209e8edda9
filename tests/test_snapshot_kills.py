"""Killed at any moment of a scan, a load mirrors the table to the last digit; tables of any shape."""

import random
import threading
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from changes import Changes
from mortal import Load, mirror_differences
from services import Item, Tables
from shardarrow.demo.compare import row_differences
from shardarrow.demo.emulator import Emulator

ITEMS, CHANGES, KILLS = 50_000, 20_000, 20
PAGES = 100
"""Of the whole scan, at least: a page is 1 MB of items."""

SEED = 3
LARGEST = 400 * 1024
FLAGS = ("--settle", "0.1", "--poll-interval", "0.02", "--load-interval", "0.05")


@pytest.mark.bulk
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("snapshot_slice", "least_slices"), [(900.0, 1), (0.001, 10)], ids=["long slices", "many slices"]
)
def test_killed_again_and_again_while_the_table_is_scanned_the_mirror_equals_it(
    snapshot_slice: float,
    least_slices: int,
    emulator: Emulator,
    tables: Tables,
    tmp_path: Path,
    scale: Callable[[int], int],
    start_process: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    table = tables.make(keys={"id": "S"}, view=None)
    writer = Changes(tables.dynamodb, table, keys=scale(ITEMS), total=scale(CHANGES), seed=SEED)
    pages = max(30, scale(PAGES))
    writer.fill(filler={"S": "x" * (pages * 1_000_000 // scale(ITEMS))})
    # What was written before there was a stream can only come from the scan.
    turn_stream_on(tables, table)
    kills = max(5, scale(KILLS))
    # The scan outlasts the kills: five pages a second.
    units = 5 * units_of_a_page(tables, table)
    source = f"dynamodb://{table}?segments=2&max_read_units={units}&endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    kill_while_scanning(load, writer, scale(CHANGES), kills, snapshot_slice)
    slices = finish_while_writing(load, writer, scale(CHANGES) // (kills + 1), snapshot_slice)

    assert load.kills == kills
    assert load.kills_before_commit >= kills / 5
    assert slices >= least_slices
    assert load.scanned() > scale(ITEMS) / 2
    assert mirror_differences(load, tables.items(table)) == []
    facts = {"items": scale(ITEMS), "changes": scale(CHANGES), "scanned": load.scanned(), "kills": load.kills}
    for name, value in (facts | {"before a commit": load.kills_before_commit, "slices": slices}).items():
        record_property(name, value)


def units_of_a_page(tables: Tables, table: str) -> float:
    """What the first page costs here: 256 for 1 MB on the service, which counts 4 KB as a unit."""
    page = tables.dynamodb.scan(TableName=table, ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
    return float(page["ConsumedCapacity"]["CapacityUnits"])


def kill_while_scanning(load: Load, writer: Changes, changes: int, kills: int, snapshot_slice: float) -> None:
    """One part of the changes per kill, written while the load runs that is killed."""
    moments = random.Random(SEED)
    for kill in range(kills):
        writing = threading.Thread(target=writer.write, args=(changes // (kills + 1),))
        writing.start()
        try:
            if kill % 3 == 1:
                quick = {"settle": 0.1, "poll_interval": 0.02, "load_interval": 0, "batch_wait": 0.01}
                load.run_until_it_dies(moments.randrange(2, 6), snapshot_slice=snapshot_slice, **quick)
            else:
                flags = (*FLAGS, "--snapshot-slice", str(snapshot_slice))
                load.run_until_killed(moments.random() * 0.3, *flags, scanning=True)
        finally:
            writing.join()
        assert load.snapshot()["ended"] is None, f"the scan was over before kill {kill + 1} of {kills}"


def finish_while_writing(load: Load, writer: Changes, changes: int, snapshot_slice: float) -> int:
    """The last part of the changes; returns how many slices the scan took."""
    writing = threading.Thread(target=writer.write, args=(changes,))
    writing.start()
    try:
        flags = (*FLAGS, "--snapshot-slice", str(snapshot_slice))
        load.run_until_killed(0, *flags, scanning=True)
        load.kills -= 1
    finally:
        writing.join()
    load.finish(*FLAGS, "--snapshot-slice", str(snapshot_slice))
    snapshot = load.snapshot()
    assert snapshot["ready"], f"{ {k: v for k, v in snapshot.items() if k != 'segments'} }"
    slices: int = snapshot["slices"]
    return slices


VALUES: dict[str, list[Any]] = {
    "S": ["a", "李 🦆", 'O\'Neil "Q"', " "],
    "N": ["7", "-2.5", "1.2345678901234567890123456789012345678", "-1E-130"],
    "B": [b"\x00", b"\xff\xfe", b"blob", b"\x80\x00"],
}
QUICK = {"settle": 0.1, "poll_interval": 0.02, "load_interval": 0}


@pytest.mark.parametrize("kinds", ["S", "N", "B", "SN", "NB", "BS"])
def test_a_scan_goes_on_behind_a_key_of_any_type(
    kinds: str, emulator: Emulator, tables: Tables, tmp_path: Path, start_process: Callable[..., Any]
) -> None:
    """Items that only the scan can give, in several pages; killed behind the first one."""
    keys = dict(zip(["hash", "sort"], kinds, strict=False))
    table = tables.make(keys=keys, view=None)
    all_values = list(product(*(VALUES[kind] for kind in kinds)))
    # Together they are more than a page, which is 1 MB.
    large = {"large": {"S": "x" * min(390_000, 2_400_000 // len(all_values))}}
    items = [
        {name: {kind: value} for (name, kind), value in zip(keys.items(), values, strict=True)}
        | {"n": {"N": str(number)}, **large}
        for number, values in enumerate(all_values)
    ]
    tables.put(table, *items)
    turn_stream_on(tables, table)
    source = f"dynamodb://{table}?segments=1&endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    # A page is a batch and a write of its own.
    load.run_until_it_dies(1, "after", batch_rows=1, **QUICK)
    [segment] = load.snapshot()["segments"]
    assert (segment["after"] is not None, segment["done"]) == (True, False)

    changed, gone, again = (item | {"n": {"N": "1.5"}} for item in (items[0], items[1], items[-1]))
    tables.put(table, changed)
    for item in (gone, again):
        tables.dynamodb.delete_item(TableName=table, Key={name: item[name] for name in keys})
    tables.put(table, again)
    sa.load(sa.source(load.source), load.destination, table="orders", follow=False, **QUICK)
    assert row_differences_by_key(load, tables.items(table), keys) == []


def row_differences_by_key(load: Load, items: list[Item], keys: dict[str, str]) -> list[str]:
    """As `differences`, of a table with any keys."""

    def key_of(item: Item) -> tuple[Any, ...]:
        return tuple(
            Decimal(item[name][kind]) if kind == "N" else item[name][kind] for name, kind in keys.items()
        )

    rows = load.rows()
    found = {tuple(Decimal(row[k]) if t == "N" else row[k] for k, t in keys.items()): row for row in rows}
    assert len(found) == len(rows), "a key has two rows"
    expected = {key_of(item): item for item in items}
    assert found.keys() == expected.keys()
    return [said for key, item in expected.items() for said in row_differences(item, found[key])]


def test_an_empty_table_is_mirrored_and_then_followed(
    emulator: Emulator, tables: Tables, tmp_path: Path, start_process: Callable[..., Any]
) -> None:
    table = tables.make(keys={"id": "S"})
    source = f"dynamodb://{table}?endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    report = sa.load(sa.source(source), load.destination, table="orders", follow=False, **QUICK)
    assert (load.rows(), load.scanned(), report.ready) == ([], 0, True)
    tables.put(table, {"id": {"S": "first"}, "n": {"N": "1"}})
    report = sa.load(sa.source(source), load.destination, table="orders", follow=False, **QUICK)
    assert mirror_differences(load, tables.items(table)) == []
    assert (report.resumed, load.scanned(), load.changes()) == (True, 0, 1)


def test_a_table_with_one_item_of_the_largest_size(
    emulator: Emulator, tables: Tables, tmp_path: Path, start_process: Callable[..., Any]
) -> None:
    """400 KB, names included (the service's limit), and only the scan can give it."""
    table = tables.make(keys={"id": "S"}, view=None)
    names = len("id") + len("one") + len("text") + len("bytes")
    item = {
        "id": {"S": "one"},
        "text": {"S": "ä" * 100_000},
        "bytes": {"B": b"\xff" * (LARGEST - 200_000 - names)},
    }
    tables.put(table, item)
    turn_stream_on(tables, table)
    source = f"dynamodb://{table}?endpoint_url={emulator.endpoint_url}"
    load = Load(source, tmp_path / "shop.duckdb", table="orders", mode="mirror", start=start_process)
    for place in ("before", "after"):
        load.run_until_it_dies(1, place, memory_limit="64MiB", **QUICK)
    report = sa.load(
        sa.source(source), load.destination, table="orders", follow=False, memory_limit="64MiB", **QUICK
    )
    assert mirror_differences(load, [item]) == []
    assert (load.scanned(), report.ready) == (1, True)


def turn_stream_on(tables: Tables, table: str) -> None:
    view = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    tables.dynamodb.update_table(TableName=table, StreamSpecification=view)
