"""Snapshots into DuckDB: scanned items, later scans, and what they did not see."""

from __future__ import annotations

import json
import random
import signal
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

import shardarrow as sa
import shardarrow.loaders as loaders
from loading import (
    KEY_SHAPES,
    PLACES,
    RANDOM_KEYS,
    Batch,
    Columns,
    Moment,
    Source,
    end_of,
    items,
    items_in,
    model,
    query,
    random_story,
    run,
    script,
    story_batches,
)
from mortal import Load
from shardarrow.cli import main
from shardarrow.cli.progress import Progress
from shardarrow.cli.status import Found, find, lines
from shardarrow.errors import GapError, LoadError
from shardarrow.loaders.duckdb import DuckDBLoader
from shardarrow.loaders.report import Report

SCANNING, READY = Moment(1), Moment(1, ready=True)
AGAIN, READY_AGAIN = Moment(2), Moment(2, ready=True)
SEEN = "_shardarrow_seen_orders"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A directory to stand in, with ``duckdb:///shop.duckdb`` in it."""
    monkeypatch.chdir(tmp_path)
    return "duckdb:///shop.duckdb"


class Story:
    """A source that is told step by step, and a table that follows it, each time with a new loader."""

    def __init__(self, where, keys=(("id", "S"),), mode="mirror", table=("orders",)):
        self.source, self._columns = Source([], keys), Columns(list(keys))
        self._make = lambda: DuckDBLoader(where, table, mode)

    def tell(self, *steps, load_interval=0.0):
        """Loads moments, and batches as lists of changes. With an interval they are one write."""
        self.source.batches += [
            step if isinstance(step, Moment) else self._columns.batch(step) for step in steps
        ]
        return run(self._make(), self.source, load_interval=load_interval)


def scanned(*keys, **attributes):
    return [("snapshot", {"id": key, **attributes}) for key in keys]


def ids():
    return {key for (key,) in query("SELECT id FROM orders")}


def seen(table=SEEN):
    found = query(f'FROM "{table}"')
    assert len(set(found)) == len(found), "a key is remembered twice"
    return {key for (key,) in found}


def accounts():
    return {
        name for (name,) in query("SELECT table_name FROM duckdb_tables() WHERE table_name LIKE '%seen%'")
    }


# The first scan.


def test_scanned_items_are_upserts_in_their_order(shop):
    story = Story(shop)
    story.tell(
        SCANNING,
        [*scanned("a", "b", n=1), ("modify", {"id": "a", "n": 2}), *scanned("c"), ("remove", {"id": "c"})],
        [*scanned("b", n=3), ("remove", {"id": "d"}), *scanned("d")],
    )
    assert items() == model(
        [("x", {"id": "a", "n": 2}), ("x", {"id": "b", "n": 3}), ("x", {"id": "d"})], [("id", "S")]
    )


def test_the_first_epoch_remembers_and_sweeps_nothing(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"))
    assert accounts() == set()
    report = story.tell(READY, [("remove", {"id": "a"})])
    assert (ids(), report.swept, report.deletes) == ({"b"}, 0, 1)


# A later scan.


def test_what_a_later_scan_did_not_see_goes_when_it_is_complete(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b", "c"), READY)
    report = story.tell(AGAIN, scanned("a"), scanned("d"))
    assert (ids(), seen(), report.swept) == ({"a", "b", "c", "d"}, {"a", "d"}, 0)
    report = story.tell(scanned("c"), READY_AGAIN)
    assert (ids(), accounts(), report.swept) == ({"a", "c", "d"}, set(), 1)
    report = story.tell([("insert", {"id": "e"})])
    assert (ids(), accounts(), report.swept) == ({"a", "c", "d", "e"}, set(), 0)


def test_changes_count_as_seen_and_removals_take_away(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("kept", "gone", "back", "changed", "unseen"), READY)
    story.tell(AGAIN, scanned("kept", "gone", "back"))
    story.tell([("remove", {"id": "gone"}), ("remove", {"id": "back"}), ("remove", {"id": "never"})])
    story.tell([("insert", {"id": "back"}), ("modify", {"id": "changed"}), ("insert", {"id": "new"})])
    # Twice in one write, and again in the next: a set holds it once.
    story.tell([*scanned("kept"), ("modify", {"id": "kept"})], [("modify", {"id": "kept"})])
    assert seen() == {"kept", "back", "changed", "new"}
    assert story.tell(READY_AGAIN).swept == 1
    assert ids() == {"kept", "back", "changed", "new"}


def test_rows_of_the_epoch_before_count_for_nothing(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a"), READY)
    late = [("insert", {"id": "b"}), ("modify", {"id": "a"}), ("remove", {"id": "c"})]
    story.tell(late, AGAIN, scanned("c"), load_interval=60)
    assert (ids(), seen()) == ({"a", "b", "c"}, {"c"})
    story.tell(READY_AGAIN)
    assert ids() == {"c"}


@pytest.mark.parametrize("interval", [0, 60])
def test_a_key_of_both_epochs_is_as_the_later_says(shop, interval):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b", n=1), READY)
    report = story.tell(
        [("modify", {"id": "a", "n": 2}), ("modify", {"id": "b", "n": 2})],
        AGAIN,
        [*scanned("a", n=3), *scanned("b", n=3), ("remove", {"id": "b"})],
        READY_AGAIN,
        load_interval=interval,
    )
    assert items() == {("a",): {"id": "a", "n": "3"}}
    assert (report.swept, accounts()) == (0, set())


def test_ready_comes_without_a_row(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"), READY)
    story.tell(AGAIN, scanned("a"))
    report = story.tell(READY_AGAIN)
    assert (ids(), report.swept, report.rows) == ({"a"}, 1, 0)


def test_an_epoch_may_be_one_write(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"), READY)
    report = story.tell(AGAIN, scanned("b", "c"), READY_AGAIN, load_interval=60)
    assert (ids(), report.swept, report.inserts, report.updates) == ({"b", "c"}, 1, 1, 1)


def test_a_table_that_became_empty_empties_the_mirror(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"), READY)
    assert story.tell(AGAIN, READY_AGAIN).swept == 2
    assert ids() == set()


def test_an_epoch_that_is_given_up_leaves_nothing_behind(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b", "c"))
    story.tell(AGAIN, scanned("a", "b"))
    story.tell(Moment(3), scanned("c"))
    assert (ids(), seen()) == ({"a", "b", "c"}, {"c"})
    story.tell(Moment(3, ready=True))
    assert ids() == {"c"}


def test_a_stream_without_a_snapshot_may_be_scanned_later(shop):
    story = Story(shop)
    report = story.tell(Moment(1, snapshot=False), [("insert", {"id": "a"})])
    assert "did not start with a snapshot" in repr(report)
    report = story.tell(AGAIN, scanned("b"), READY_AGAIN)
    assert (ids(), report.swept, report.warning) == ({"b"}, 1, None)


def test_an_epoch_counts_from_its_first_word(shop):
    """A checkpoint may name the new epoch before it says anything of its scan."""
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"), READY)
    report = story.tell(Moment(2, begun=False))
    assert (ids(), seen(), report.ready) == ({"a", "b"}, set(), False)
    assert "snapshot of epoch 2 not begun" in repr(report)
    story.tell(AGAIN, scanned("a"), READY_AGAIN)
    assert ids() == {"a"}


def test_seen_keys_widen_with_the_mirror(shop):
    """Integer → fraction → 38 digits while the scan runs: each key is seen by its new name."""
    story = Story(shop, keys=[("id", "N")])
    long = Decimal("1.2345678901234567890123456789012345678")
    story.tell(SCANNING, scanned(1, 2, 3), READY)
    story.tell(AGAIN, scanned(1, 10))
    assert seen() == {1, 10}
    story.tell(scanned(Decimal("1.5")))
    assert seen() == {Decimal(1), Decimal(10), Decimal("1.5")}
    story.tell(scanned(long))
    assert seen() == {"1", "10", "1.5", str(long)}
    assert story.tell([("remove", {"id": 10})], READY_AGAIN).swept == 2
    assert ids() == {"1", "1.5", str(long)}


def test_seen_keys_widen_in_the_write_that_sweeps(shop):
    story = Story(shop, keys=[("id", "N")])
    story.tell(SCANNING, scanned(1, 2), READY)
    story.tell(AGAIN, scanned(1))
    story.tell(scanned(Decimal("1E-30")), READY_AGAIN, load_interval=60)
    assert ids() == {"1", "0." + "0" * 29 + "1"}


def test_without_its_account_nothing_is_swept(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a", "b"), READY)
    story.tell(AGAIN, scanned("a"))
    query(f"DROP TABLE {SEEN}")
    with pytest.raises(LoadError, match=f"{SEEN} is gone.*orders are out of date.*another table="):
        story.tell(READY_AGAIN)
    assert ids() == {"a", "b"}


def test_a_new_beginning_forgets_the_old_account(shop):
    story = Story(shop)
    story.tell(SCANNING, scanned("a"), READY)
    story.tell(AGAIN, scanned("a"))
    query("DROP TABLE orders")
    query("DELETE FROM _shardarrow_checkpoints")
    Story(shop).tell(SCANNING, scanned("b"))
    assert (ids(), accounts()) == ({"b"}, set())


def test_two_mirrors_of_one_file_do_not_mix(shop):
    one, other = Story(shop, table=("a", "b_c")), Story(shop, table=("a_b", 'C "x"'))
    for story in (one, other):
        story.tell(SCANNING, scanned("a", "b"), READY)
    one.tell(AGAIN, scanned("a"))
    other.tell(AGAIN, scanned("b"), READY_AGAIN)
    one.tell(READY_AGAIN)
    assert query('SELECT id FROM a."b_c"') == [("a",)]
    assert query('SELECT id FROM a_b."C ""x"""') == [("b",)]


def test_key_columns_may_have_other_names_than_their_attributes(shop):
    keys = [("id", "S"), ("ID", "S")]
    story = Story(shop, keys=keys)
    story.tell(SCANNING, [("snapshot", {"id": "a", "ID": "1"}), ("snapshot", {"id": "a", "ID": "2"})], READY)
    story.tell(AGAIN, [("snapshot", {"id": "a", "ID": "2"})], READY_AGAIN)
    assert query("SELECT id, ID_2 FROM orders") == [("a", "2")]


def test_an_open_connection_is_swept_too():
    connection = duckdb.connect()
    story = Story(connection)
    story.tell(SCANNING, scanned("a", "b"), READY)
    story.tell(AGAIN, scanned("b"))
    story.tell(READY_AGAIN)
    assert connection.execute("SELECT id FROM orders").fetchall() == [("b",)]


# Against a model.


@pytest.mark.parametrize("keys", KEY_SHAPES, ids=lambda keys: "".join(kind for _, kind in keys))
@pytest.mark.parametrize("seed", range(4))
def test_a_mirror_of_random_epochs_equals_a_dict_of_the_last(seed, keys):
    """Any steps in one write, any write by a new loader: after each the mirror is what was told so far."""
    steps = random_story(seed, keys)
    batches, chance = story_batches(steps, keys), random.Random(seed)
    connection, names = duckdb.connect(), [name for name, _ in keys]
    loader, table, since, swept = DuckDBLoader(connection, ("orders",), "mirror"), {}, [], True
    loader.resume()
    at, moment = 0, None
    while at < len(steps):
        group = range(at, min(at + chance.choice([1, 1, 2, 5]), len(steps)))
        at, rows = group.stop, []
        for place in group:
            step = steps[place]
            if isinstance(step, Moment):
                since, swept = (since, swept) if moment and step.epoch == moment.epoch else ([], False)
                moment = step
            else:
                rows.append(Batch(batches[place], moment.epoch))
                since += step
                table = model([*(("x", item) for item in table.values()), *step], keys)
        loader.write(rows, state(moment, at), keys)
        if moment.ready and moment.epoch > 1 and not swept:
            table, swept = model(since, keys), True
        assert items_in(connection, keys=names) == table
        if chance.random() < 0.3:
            loader = DuckDBLoader(connection, ("orders",), "mirror")
            assert json.loads(loader.resume())["place"] == at
    assert table == end_of(steps, keys)
    assert connection.execute(
        "SELECT count(*) FROM duckdb_tables() WHERE table_name LIKE '%seen%'"
    ).fetchall() == [(0,)]


def state(moment, place):
    checkpoint = json.dumps({**moment.checkpoint, "place": place})
    return SimpleNamespace(through=place, checkpoint=checkpoint, gaps=[], quarantined=[])


# Dying.


@pytest.mark.parametrize("place", PLACES)
def test_killed_around_the_sweep(shop, place):
    assert script(shop, "mirror", 7, f"{place}:sweep", check=False).returncode == -signal.SIGKILL
    committed = place in ("after-commit", "after-close")
    assert accounts() == (set() if committed else {SEEN})
    script(shop, "mirror", 7, "-")
    steps = random_story(7, RANDOM_KEYS)
    assert items(keys=("id", "rank")) == end_of(steps, RANDOM_KEYS)
    assert accounts() == set()
    assert query("SELECT changes FROM _shardarrow_checkpoints") == [(count(steps),)]


def test_killed_anywhere_in_three_epochs(shop):
    for kill in [f"{place}:{write}" for place, write in zip(PLACES, (2, 5, 3, 4), strict=True)]:
        assert script(shop, "mirror", 8, kill, check=False).returncode == -signal.SIGKILL
    script(shop, "mirror", 8, "-")
    steps = random_story(8, RANDOM_KEYS)
    assert items(keys=("id", "rank")) == end_of(steps, RANDOM_KEYS)
    assert query("SELECT changes FROM _shardarrow_checkpoints") == [(count(steps),)]


def count(steps):
    return sum(len(step) for step in steps if isinstance(step, list))


# Appending.


def test_append_has_every_row_and_says_which_were_scanned(shop):
    story = Story(shop, mode="append")
    story.tell(SCANNING, scanned("a", "b"), [("modify", {"id": "a"})], READY)
    report = story.tell(AGAIN, scanned("a"), READY_AGAIN)
    assert query("SELECT _op, id FROM orders ORDER BY rowid") == [
        ("snapshot", "a"),
        ("snapshot", "b"),
        ("modify", "a"),
        ("snapshot", "a"),
    ]
    assert (report.swept, report.epoch, report.ready, accounts()) == (0, 2, True, set())


# What is told.


def test_the_report_tells_how_far_the_snapshot_is(shop):
    story = Story(shop)
    report = story.tell(Moment(1, scanned=2, items=50_000), scanned("a", "b"))
    assert (report.epoch, report.ready, report.from_snapshot) == (1, False, True)
    assert "snapshot running: scanned 2 of about 50,000 items, 1 of 2 segments done" in repr(report)
    assert "the snapshot is not complete: items are missing" in repr(report)
    report = story.tell(Moment(1, ready=True, scanned=1, items=50_000))
    assert (report.ready, report.warning) == (True, None)
    assert "snapshot ready: scanned 1 item\n" in f"{report!r}\n"
    report = story.tell(Moment(2, scanned=3, items=2))
    assert "snapshot of epoch 2 running: scanned 3 items, 1" in repr(report)
    assert "items may be missing, and deleted ones may still be there" in repr(report)
    report = story.tell(READY_AGAIN)
    assert "2 rows that the new snapshot did not see removed" in repr(report)


def found(moment, mode="mirror"):
    rest = {"table": "orders", "stream_arn": "arn", "shards": {}, "schema": {"columns": []}}
    return Found("orders", mode, {**rest, **moment.checkpoint}, 12_345, 0, 0, 0.0)


def test_status_tells_how_far_the_snapshot_is():
    told = "\n".join(lines(found(Moment(2, scanned=12_345, items=50_000)), 0.0))
    for words in (
        "started at   snapshot, epoch 2",
        "snapshot     running: scanned 12,345 of about 50,000 items, 1 of 2 segments done",
        "lag          unknown: the snapshot is not complete yet",
        "loaded       12,345 rows",
        "deleted ones may still be there",
    ):
        assert words in told
    told = "\n".join(lines(found(Moment(1, ready=True, scanned=50_001, items=50_000)), 0.0))
    assert "snapshot     ready: scanned 50,001 items" in told
    assert "not complete" not in told
    assert "snapshot     not begun" in "\n".join(lines(found(Moment(2, begun=False)), 0.0))
    assert "snapshot  " not in "\n".join(lines(found(Moment(1, snapshot=False), "append"), 0.0))


class Lines:
    """A screen that keeps what is told."""

    def __init__(self):
        self.notes, self.line = [], None

    def note(self, text):
        self.notes.append(text)

    def progress(self, text):
        self.line = text


def metrics(**snapshot):
    known = {"scanned": 12_345, "items": 50_000, "segments": 4, "segments_done": 1, "ready": False}
    times = {"slice": "scanning", "seconds_left": None, "hours_to_loss": None}
    unread = snapshot.pop("unread_seconds", 3.0)
    scan = {**known, **times, **snapshot}
    return SimpleNamespace(metrics=lambda: {"lag_seconds": 2.0, "unread_seconds": unread, "snapshot": scan})


def test_progress_tells_the_scan_and_then_the_changes():
    screen, report = Lines(), Report("table orders", "mirror")
    report.add_state(Moment(1).checkpoint, 0, 0)
    progress = Progress(screen)
    progress(report, metrics())
    assert screen.line == "scanned 12,345 of about 50,000 items, 1 of 4 segments done, 0/s"
    progress(report, metrics(seconds_left=150.0, hours_to_loss=20.0, segments=1))
    assert screen.line == "scanned 12,345 of about 50,000 items, 0/s, about 2 min left"
    progress(report, metrics(unread_seconds=720.0, segments=1))
    assert screen.line.endswith("0/s, changes of the last 12 min wait in the stream")
    progress(report, metrics(slice="draining", seconds_left=150.0, hours_to_loss=1.5))
    assert screen.line.endswith("/s, reading the changes made meanwhile, the stream loses changes in 90 min")
    report.add_state(Moment(1, ready=True, scanned=50_000).checkpoint, 0, 0)
    progress(report, metrics(slice="done", ready=True))
    assert screen.line == "0 rows, 0/s, lag 2.0 s"
    assert screen.notes == [
        "table orders (mirror): starts at 'snapshot'",
        "table orders: snapshot ready: scanned 50,000 items",
    ]
    progress(report, SimpleNamespace(metrics=lambda: {"snapshot": None}))
    assert screen.line == "0 rows, 0/s, lag unknown"


def test_progress_says_nothing_of_a_snapshot_that_was_complete_before():
    screen, report = Lines(), Report("table orders", "mirror", resumed=True)
    report.add_state(READY.checkpoint, 0, 0)
    Progress(screen)(report, metrics(slice="done", ready=True))
    assert screen.notes == ["table orders (mirror): goes on where it was"]


def test_saved_has_the_snapshot_too(shop):
    Story(shop).tell(SCANNING, scanned("a"))
    [saved] = loaders.saved(shop)
    assert json.loads(saved.checkpoint)["snapshot"]["ready"] is False


# With a table of the emulator.


QUICK = {"follow": False, "settle": 0.3, "poll_interval": 0.05}
QUICK_FLAGS = ("--once", "--settle", "0.3", "--poll-interval", "0.05")


@pytest.fixture
def here(emulator, shop, monkeypatch):
    """The AWS chain points at the emulator."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)


def put(tables, table, keys, n):
    tables.put(table, *({"id": {"S": key}, "n": {"N": str(n)}} for key in keys))


def set_stream(tables, table, on):
    view = {"StreamViewType": "NEW_AND_OLD_IMAGES"} if on else {}
    tables.dynamodb.update_table(TableName=table, StreamSpecification={"StreamEnabled": on, **view})


def numbers():
    return dict(query("SELECT id, n FROM orders"))


def test_a_whole_table_is_mirrored_and_then_followed(here, shop, tables):
    table = tables.make("whole", {"id": "S"}, view=None)
    put(tables, table, "abc", 1)
    # What was written before there was a stream can only come from the scan.
    set_stream(tables, table, on=True)
    put(tables, table, "c", 2)
    report = sa.load(sa.dynamodb(table, segments=3), shop, table="orders", **QUICK)
    assert (numbers(), report.ready, report.epoch, report.warning) == (
        {"a": 1, "b": 1, "c": 2},
        True,
        1,
        None,
    )
    put(tables, table, "ad", 3)
    tables.dynamodb.delete_item(TableName=table, Key={"id": {"S": "b"}})
    report = sa.load(sa.dynamodb(table), shop, table="orders", **QUICK)
    assert (numbers(), report.resumed, report.ready) == ({"a": 3, "c": 2, "d": 3}, True, True)


def test_after_a_gap_the_mirror_is_scanned_anew_and_swept(here, shop, tables):
    table = tables.make("gap", {"id": "S"})
    put(tables, table, "abc", 1)
    sa.load(sa.dynamodb(table), shop, table="orders", **QUICK)
    set_stream(tables, table, on=False)
    put(tables, table, "ad", 2)
    tables.dynamodb.delete_item(TableName=table, Key={"id": {"S": "b"}})
    set_stream(tables, table, on=True)
    once = {**QUICK, "discovery_interval": 0.2}
    with pytest.raises(GapError, match="the stream was replaced"):
        sa.load(sa.dynamodb(table), shop, table="orders", **once)
    assert numbers() == {"a": 1, "b": 1, "c": 1}
    report = sa.load(sa.dynamodb(table), shop, table="orders", on_gap="resnapshot", **once)
    assert numbers() == {"a": 2, "c": 1, "d": 2}
    assert (report.epoch, report.ready, report.swept, accounts()) == (2, True, 1, set())


def test_the_flags_of_a_snapshot(here, shop, tables, capsys):
    table = tables.make("flags", {"id": "S"}, view=None)
    put(tables, table, "ab", 1)
    load = ["load", table, "duckdb:///shop.duckdb", "--table", "orders", *QUICK_FLAGS]
    assert main(load) == 1
    assert "enable_stream" in capsys.readouterr().err
    flags = ["--enable-stream", "true", "--segments", "2", "--max-read-units", "500", "--snapshot-slice", "5"]
    assert main([*load, *flags, "--on-gap", "resnapshot"]) == 0
    said = capsys.readouterr()
    assert (numbers(), "starts at 'snapshot'" in said.err) == ({"a": 1, "b": 1}, True)
    assert "snapshot ready: scanned 2 items" in said.out
    assert main(["status", "shop.duckdb"]) == 0
    assert "snapshot     ready: scanned 2 items" in capsys.readouterr().out
    assert main(["status", "shop.duckdb", "--as-json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["from_snapshot"], found["snapshot"]["ready"], found["snapshot"]["segments"]) == (
        True,
        True,
        2,
    )
    assert main(["read", table, "--limit", "1", "--segments", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2, "a line of names and one row"


def test_killed_while_the_table_is_scanned(here, shop, tables, start_process):
    """Items are updated, deleted and put back between the kills; the scan goes on where it was."""
    table = tables.make("killed", {"id": "S"})
    names = [f"k{number:03}" for number in range(600)]
    put(tables, table, names, 1)
    source = f"dynamodb://{table}?segments=3"
    load = Load(source, Path("shop.duckdb").absolute(), table="orders", mode="mirror", start=start_process)
    for nth, (changed, gone) in enumerate([(0, 100), (200, 300), (400, 500)], 1):
        load.run_until_it_dies(nth, batch_rows=50, load_interval=0, **QUICK)
        ready = query("SELECT checkpoint->'snapshot'->>'ready' FROM _shardarrow_checkpoints")
        assert ready == [("false",)], "it was killed too late"
        put(tables, table, names[changed : changed + 20], 1 + nth)
        tables.write(
            table, ({"DeleteRequest": {"Key": {"id": {"S": key}}}} for key in names[gone : gone + 20])
        )
        put(tables, table, names[gone : gone + 5], 1 + nth)
    load.finish(*QUICK_FLAGS[1:])
    expected = {item["id"]["S"]: int(item["n"]["N"]) for item in tables.items(table)}
    assert (numbers(), len(expected)) == (expected, 600 - 45)
    assert "ready: scanned" in "\n".join(line for one in find("shop.duckdb") for line in lines(one, 0.0))
