"""Shards that roll over, streams that end and records that are gone, on a fake AWS with virtual time."""

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from lineages import HOUR, Lineages, read, rows_of, written
from mortal import Load, kill, wait_until
from services import Twin
from shardarrow.cli.status import find

ROLLOVERS, KILLS, CHANGES = 50, 20, 40_000
SEED = 3
QUICK: dict[str, Any] = {"poll_interval": 0.05, "discovery_interval": 0.5}
QUICK_FLAGS = ["--poll-interval", "0.05", "--discovery-interval", "0.5", "--load-interval", "0.05"]
NO_MORE: dict[str, Any] = {"follow": False, "settle": 0.5, **QUICK}


@pytest.fixture
def orders(twin: Twin) -> Lineages:
    return Lineages(twin)


@pytest.fixture
def make_load(tmp_path: Path, start_process: Callable[..., Any]) -> Callable[..., Load]:
    """`make_load(url)`: a log of changes in a file of its own."""

    def make_load(url: str) -> Load:
        file = tmp_path / "shop.duckdb"
        return Load(url, file, table="changes", mode="append", start=start_process)

    return make_load


def everything(source: sa.Source, checkpoint: Path, **options: Any) -> list[dict[str, Any]]:
    """What there is to read now, each batch done when the next is taken."""
    with source.stream(checkpoint, **NO_MORE | options) as stream:
        return rows_of(stream)


# Rollovers and kills


@pytest.mark.bulk
@pytest.mark.timeout(1200)
def test_every_change_once_and_in_order_through_rollovers_and_kills(
    twin: Twin,
    make_load: Callable[..., Load],
    scale: Callable[[int], int],
    record_property: Callable[[str, object], None],
) -> None:
    orders = Lineages(twin, partitions=8, seed=SEED)
    orders.make_awkward()
    orders.advance(1_000)
    load = make_load(orders.url())
    moments = random.Random(SEED)
    kills = max(5, scale(KILLS))
    rollovers = ROLLOVERS // kills + 1
    for number in range(kills):
        writing = threading.Thread(target=change, args=(orders, scale(CHANGES) // kills, rollovers))
        writing.start()
        if number % 4 == 3:
            load.run_until_it_dies(2, load_interval=0, batch_rows=20, **QUICK)
        else:
            load.run_until_killed(moments.random() * 0.5, *QUICK_FLAGS)
        writing.join()
    load.finish("--settle", "2", *QUICK_FLAGS)

    history = orders.history()
    assert read(load.rows()) == written(history)
    assert load.query("SELECT * FROM _shardarrow_gaps") == []
    assert len({record["shard"] for record in history}) > ROLLOVERS / 2
    facts = {"changes": len(history), "lineages": 8, "rollovers": rollovers * kills, "kills": kills}
    for name, value in facts.items():
        record_property(name, value)


def change(orders: Lineages, changes: int, rollovers: int) -> None:
    for _ in range(rollovers):
        orders.write(changes // (rollovers + 1))
        orders.roll_over(orders.random.randrange(orders.partitions))
    orders.write(changes // (rollovers + 1))


def test_a_shard_that_splits_is_followed_by_both_children(orders: Lineages, tmp_path: Path) -> None:
    orders.write(100)
    orders.twin.control("split", table=orders.name, partition=0)
    orders.write(100)
    orders.twin.control("split", table=orders.name, partition=1)
    orders.write(100)
    rows = everything(orders.source(), tmp_path / "orders.ckpt")
    assert read(rows) == written(orders.history())


# Idle, and asleep


@pytest.mark.timeout(300)
def test_an_idle_table_has_no_gap_through_two_days_of_rollovers(
    orders: Lineages, make_load: Callable[..., Load]
) -> None:
    orders.twin.control("knobs", set={"roll_every_ms": 4 * HOUR})
    orders.write(50)
    load = make_load(orders.url())
    for _ in range(4):
        process = load.command(*QUICK_FLAGS)
        wait_until_verified(load, orders, process)
        orders.advance(6 * HOUR)
        wait_until_verified(load, orders, process)
        kill(process)
        orders.advance(6 * HOUR)
    orders.write(50)
    load.finish("--settle", "1", *QUICK_FLAGS)
    assert load.query("SELECT * FROM _shardarrow_gaps") == []
    assert read(load.rows()) == written(orders.history())


def wait_until_verified(load: Load, orders: Lineages, process: Any) -> None:
    """Until it is saved that nothing made before now can be missing."""
    now = orders.now()

    def verified() -> bool:
        found = list(find(load.destination)) if load.file.exists() else []
        return bool(found) and found[0].verified is not None and found[0].verified >= now

    wait_until(verified, process)


def test_latest_killed_before_its_first_record_loses_nothing_written_meanwhile(
    orders: Lineages, make_load: Callable[..., Load]
) -> None:
    orders.write(100)
    orders.advance(60_000)
    before = len(orders.history())
    load = make_load(orders.url("latest"))
    process = load.command(*QUICK_FLAGS)
    wait_until(lambda: load.file.exists() and bool(list(find(load.destination))), process)
    kill(process)
    assert load.changes() == 0
    orders.write(100, roll_over=0.2)
    load.finish("--settle", "1", *QUICK_FLAGS)
    assert read(load.rows()) == written(orders.history()[before:])


# Gaps


@pytest.fixture
def behind(orders: Lineages, tmp_path: Path) -> Path:
    """A checkpoint that has seen everything written before; 50 more changes come after it."""
    orders.write(50)
    assert read(everything(orders.source(), tmp_path / "orders.ckpt")) == written(orders.history())
    orders.read_before = len(orders.history())
    orders.write(50)
    return tmp_path / "orders.ckpt"


def test_a_checkpoint_older_than_the_retention_fails_with_what_is_lost(
    orders: Lineages, behind: Path
) -> None:
    orders.advance(25 * HOUR)
    with pytest.raises(sa.GapError) as caught:
        everything(orders.source(), behind)
    sentence = str(caught.value)
    seen = [r["sequence"] for r in orders.history()[: orders.read_before] if r["shard"] == caught.value.shard]
    assert f"shard {caught.value.shard} " in sentence
    assert f"from after {seen[-1]} to the oldest record left" in sentence
    assert 'on_gap="continue"' in sentence


def test_a_checkpoint_older_than_the_retention_may_go_on_and_remembers_the_gap(
    orders: Lineages, behind: Path
) -> None:
    orders.advance(25 * HOUR)
    lost = len(orders.history())
    orders.write(50)
    with orders.source().stream(behind, on_gap="continue", **NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history()[lost:])
        gaps = stream.gaps()
    assert {gap.shard for gap in gaps} == {record["shard"] for record in orders.history()[:lost]}
    assert all(gap.start and gap.cause and gap.stream_arn for gap in gaps)
    known = len(orders.history())
    orders.write(10)
    with orders.source().stream(behind, **NO_MORE) as stream:
        assert read(rows_of(stream)) == written(orders.history()[known:])
        assert stream.gaps() == gaps


@pytest.mark.parametrize("replace", [Lineages.switch_off_and_on, Lineages.recreate])
def test_a_replaced_stream_is_a_gap(
    orders: Lineages, behind: Path, replace: Callable[[Lineages], None]
) -> None:
    orders.advance(1_000)
    replace(orders)
    unread = orders.history()[orders.read_before :]
    before = len(orders.history())
    with pytest.raises(sa.GapError, match="stream"), orders.source().stream(behind, **QUICK) as stream:
        assert read(rows_of(stream)) == written(unread)
    orders.write(50)
    added = orders.history()[before:]
    with orders.source().stream(behind, on_gap="continue", **QUICK) as stream:
        assert read(rows(stream, len(added))) == written(added)
        [gap] = stream.gaps()
    assert "replaced" in gap.cause
    assert gap.stream_arn == unread[0]["stream"]
    with orders.source().stream(behind, **NO_MORE) as stream:
        assert rows_of(stream) == []
        assert stream.gaps() == [gap]


def rows(stream: sa.Stream, count: int) -> list[dict[str, Any]]:
    """The next rows of a stream that goes on."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += rows_of([next(stream)])
    return found


def test_a_stream_replaced_while_it_is_followed_is_a_gap(orders: Lineages, tmp_path: Path) -> None:
    orders.write(20)
    with orders.source().stream(tmp_path / "orders.ckpt", **QUICK) as stream:
        next(stream)
        orders.switch_off_and_on()
        with pytest.raises(sa.GapError, match="stream"):
            list(stream)


def test_another_table_under_a_used_name_is_refused(orders: Lineages, twin: Twin, behind: Path) -> None:
    other = Lineages(twin, name="others")
    with pytest.raises(sa.CheckpointMismatchError, match="orders") as caught:
        everything(other.source(), behind)
    assert "others" in str(caught.value)


def test_another_table_into_a_used_destination_is_refused(
    orders: Lineages, twin: Twin, tmp_path: Path
) -> None:
    orders.write(10)
    destination = f"duckdb:///{tmp_path}/shop.duckdb"
    sa.load(orders.source(), destination, table="orders", **NO_MORE)
    other = Lineages(twin, name="others")
    with pytest.raises(sa.CheckpointMismatchError, match="orders"):
        sa.load(other.source(), destination, table="orders", **NO_MORE)
