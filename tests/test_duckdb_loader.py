"""Loading into DuckDB: real database files, a source that replays known changes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import shardarrow as sa
import shardarrow.loaders as loaders
from loading import (
    PLACES,
    RANDOM_KEYS,
    Columns,
    Source,
    canonical,
    items,
    model,
    query,
    random_batches,
    random_changes,
    run,
    script,
)
from shardarrow.errors import (
    CheckpointBusyError,
    CheckpointMismatchError,
    LoadError,
    StreamUnusableError,
    UsageError,
)
from shardarrow.loaders.duckdb import DuckDBLoader

HERE = Path(__file__).parent


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A directory to stand in, with ``duckdb:///shop.duckdb`` in it."""
    monkeypatch.chdir(tmp_path)
    return "duckdb:///shop.duckdb"


def mirror(where, *parts):
    return DuckDBLoader(where, parts or ("orders",), "mirror")


def append(where, *parts):
    return DuckDBLoader(where, parts or ("orders",), "append")


def one(*changes, keys=(("id", "S"),)):
    return Source([Columns(list(keys)).batch(list(changes))], keys)


def insert(key="a", **attributes):
    return ("insert", {"id": key, **attributes})


# What a mirror is.


def test_mirror_holds_the_last_image_of_each_key(shop):
    source = one(
        insert("a", n=1),
        insert("b", n=2),
        ("modify", {"id": "a", "n": 3}),
        ("remove", {"id": "b"}),
        insert("c"),
    )
    report = run(mirror(shop), source)
    assert items() == {("a",): {"id": "a", "n": "3"}, ("c",): {"id": "c"}}
    assert (report.rows, report.inserts, report.updates, report.deletes) == (5, 2, 0, 0)


def test_mirror_has_keys_attributes_and_rest_and_nothing_else(shop):
    columns = Columns([("id", "S")])
    batch = columns.batch([insert("a", n=1)])
    old = pa.array([{"n": 1}], pa.struct([("n", pa.int64())]))
    batch = batch.add_column(batch.num_columns - 1, "_old", old)
    run(mirror(shop), Source([batch]))
    assert query("SELECT column_name, column_type, key FROM (DESCRIBE orders)") == [
        ("id", "VARCHAR", "PRI"),
        ("n", "BIGINT", None),
        ("_rest", "VARCHAR", None),
    ]


def test_metadata_may_have_another_prefix(shop):
    batch = Columns([("id", "S")]).batch([insert("a"), insert("b"), ("remove", {"id": "a"})])
    renamed = [f"meta{name}" if name.startswith("_") else name for name in batch.schema.names]
    run(mirror(shop), Source([batch.rename_columns(renamed)]))
    assert query("SELECT id FROM orders") == [("b",)]
    assert query("SELECT column_name FROM (DESCRIBE orders)") == [("id",), ("meta_rest",)]


def test_an_update_replaces_the_whole_row(shop):
    source = Source([])
    columns = Columns([("id", "S")])
    source.batches = [columns.batch([insert("a", n=1, gone="x")]), columns.batch([insert("a", n=2)])]
    report = run(mirror(shop), source)
    assert items() == {("a",): {"id": "a", "n": "2"}}
    assert (report.inserts, report.updates, report.commits) == (1, 1, 3)


def test_removing_an_unknown_key_changes_nothing(shop):
    report = run(mirror(shop), one(("remove", {"id": "never"}), insert("a")))
    assert items() == {("a",): {"id": "a"}}
    assert report.deletes == 0


def test_binary_and_composite_keys(shop):
    keys = [("part", "B"), ("sort", "N")]
    columns = Columns(keys)
    changes = [("insert", {"part": b"\x00\xff", "sort": place}) for place in (1, 2, 3)]
    changes.append(("remove", {"part": b"\x00\xff", "sort": 2}))
    run(mirror(shop), Source([columns.batch(changes)], keys))
    assert query("SELECT part, sort FROM orders ORDER BY sort") == [(b"\x00\xff", 1), (b"\x00\xff", 3)]


def test_a_key_stays_one_row_while_it_widens(shop):
    """Integer → fraction → 38 digits, each step its own commit, updated and deleted at each."""
    keys = [("id", "N")]
    columns = Columns(keys)
    long = Decimal("1.2345678901234567890123456789012345678")
    steps = []
    for number in (1, 2, Decimal("1.5"), Decimal("2.25"), long, Decimal("-7E+120"), 3):
        steps.append([("insert", {"id": number, "step": "new"}), ("insert", {"id": -number, "step": "old"})])
        steps.append([("modify", {"id": number, "step": "updated"}), ("remove", {"id": -number})])
        # Every key seen so far, by the type the column has now.
        steps.append([("modify", {"id": 1, "step": f"at {number}"}), ("modify", {"id": 2, "step": "again"})])
    run(mirror(shop), Source([columns.batch(step) for step in steps], keys))
    assert items() == model([change for step in steps for change in step], keys)
    found = {key for (key,) in query("SELECT id FROM orders")}
    assert found == {"1", "2", "1.5", "2.25", str(long), "-7" + "0" * 120, "3"}


def test_numbers_become_canonical_text_everywhere(shop):
    wide = pa.struct([("n", pa.string()), ("list", pa.list_(pa.string())), ("more", pa.bool_())])
    narrow = pa.struct([("n", pa.decimal128(38, 9)), ("list", pa.list_(pa.decimal128(38, 9)))])
    batch = Columns([("id", "S")]).batch([insert("a")])
    value = Decimal("1.5")
    first = batch.append_column("s", pa.array([{"n": value, "list": [value, None, 2]}], narrow))
    first = first.append_column(
        "l", pa.array([[[Decimal("100"), value]]], pa.list_(pa.list_(pa.decimal128(38, 9))))
    )
    second = Columns([("id", "S")]).batch([insert("b")])
    second = second.append_column("s", pa.array([{"n": "9E-30", "list": None, "more": True}], wide))
    second = second.append_column("l", pa.array([None], pa.list_(pa.list_(pa.string()))))
    run(mirror(shop), Source([first, second]))
    assert query("SELECT s, l FROM orders ORDER BY id") == [
        ({"n": "1.5", "list": ["1.5", None, "2"], "more": None}, [["100", "1.5"]]),
        ({"n": "9E-30", "list": None, "more": True}, None),
    ]


def test_batches_of_one_write_may_have_different_types(shop):
    columns = Columns([("id", "N")])
    batches = [columns.batch([("insert", {"id": key, "n": n})]) for key, n in ((1, 1), (Decimal("1.5"), 2))]
    batches.append(columns.batch([("modify", {"id": 1, "n": Decimal("0.00000000000001")})]))
    run(mirror(shop), Source(batches, [("id", "N")]), load_interval=60)
    assert query("SELECT * EXCLUDE (_rest) FROM orders ORDER BY id") == [
        (Decimal("1"), "0.00000000000001"),
        (Decimal("1.5"), "2"),
    ]


def test_empty_lists_and_structs_take_their_type_later(shop):
    batch = Columns([("id", "S")]).batch([insert("a")])
    first = batch.append_column("l", pa.array([[]], pa.list_(pa.null()))).append_column("n", pa.nulls(1))
    first = first.append_column("s", pa.array([{}], pa.struct([])))
    second = (
        Columns([("id", "S")])
        .batch([insert("b")])
        .append_column("l", pa.array([[1]]))
        .append_column("n", pa.array([True]))
    )
    second = second.append_column("s", pa.array([{"x": 1}]))
    run(mirror(shop), Source([first, second]))
    assert query("SELECT l, n, s FROM orders ORDER BY id") == [([], None, {"x": None}), ([1], True, {"x": 1})]


@pytest.mark.parametrize("interval", [0, 60])
@pytest.mark.parametrize("seed", range(8))
def test_a_mirror_of_random_changes_equals_a_dict_of_them(shop, seed, interval):
    run(mirror(shop), Source(random_batches(seed, 150, rows=5 + seed), RANDOM_KEYS), load_interval=interval)
    assert items(keys=("id", "rank")) == model(random_changes(seed, 150), RANDOM_KEYS)


# What an append table is.


def test_append_makes_every_change_a_row_in_order(shop):
    changes = random_changes(5, 300)
    report = run(append(shop), Source(random_batches(5, 300, 11), RANDOM_KEYS))
    rows = query("SELECT CAST(_sequence AS INTEGER), _op, id FROM orders ORDER BY rowid")
    assert rows == [(place, op, item["id"]) for place, (op, item) in enumerate(changes)]
    assert (report.rows, report.inserts) == (300, 300)
    names = [name for (name,) in query("SELECT column_name FROM (DESCRIBE orders)")]
    assert names[:8] == ["_op", "_time", "_shard", "_sequence", "_event_id", "_ttl", "id", "rank"]


def test_append_has_a_table_only_once_there_is_a_change(shop):
    run(append(shop), Source([]))
    assert query("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'orders'") == [(0,)]
    run(append(shop), one(insert("a")))
    assert query("SELECT id FROM orders") == [("a",)]


def test_append_needs_no_new_image_and_a_mirror_does(shop):
    source = one(insert("a"))
    source.new_image = False
    with pytest.raises(StreamUnusableError, match="no new image"):
        run(mirror(shop), source)
    assert not Path("shop.duckdb").exists(), "something was written"
    assert run(append(shop), source).rows == 1


def test_images_as_json_can_be_appended_and_not_mirrored(shop):
    batch = pa.RecordBatch.from_pydict(
        {"_op": ["insert"], "keys": ["{}"], "new_image": ["{}"], "old_image": [None]}
    )
    with pytest.raises(LoadError, match="images='json'"):
        run(mirror(shop, "mirrored"), Source([batch]))
    source = Source([batch])
    source.images = "json"
    with pytest.raises(UsageError, match="images='json'"):
        loaders.load(source, shop)
    run(append(shop), Source([batch]))
    assert query("SELECT keys, new_image FROM orders") == [("{}", "{}")]


# Names.


def test_names_that_differ_only_in_case_keep_apart(shop):
    columns = Columns([("id", "S")])
    batches = [
        columns.batch([insert("a", Name="one")]),
        columns.batch([insert("b", name="two", NAME="three")]),
    ]
    batches.append(columns.batch([insert("c", name_2="four", ID="five")]))
    source = Source(batches)
    run(mirror(shop), source)
    source.batches.append(columns.batch([insert("d", Name="1", name="2", NAME="3", name_2="4")]))
    run(mirror(shop), source)
    names = dict(query("SELECT attribute, column_name FROM _shardarrow_columns"))
    assert names == {
        "id": "id",
        "Name": "Name",
        "name": "name_2",
        "NAME": "NAME_3",
        "name_2": "name_2_2",
        "ID": "ID_2",
        "_rest": "_rest",
    }
    assert query('SELECT id, "Name", name_2, "NAME_3", name_2_2, "ID_2" FROM orders ORDER BY id') == [
        ("a", "one", None, None, None, None),
        ("b", None, "two", "three", None, None),
        ("c", None, None, None, "four", "five"),
        ("d", "1", "2", "3", "4", None),
    ]


def test_struct_fields_that_differ_only_in_case_are_refused(shop):
    batch = Columns([("id", "S")]).batch([insert("a")])
    batch = batch.append_column("s", pa.array([{"a": 1, "A": 2}]))
    with pytest.raises(LoadError, match=r"'s' has fields 'a' and 'A'.*nested='json'"):
        run(mirror(shop), Source([batch]))


def test_every_name_is_quoted(shop):
    odd = [
        'say "hi"',
        "a;b",
        "select",
        "with space",
        "_op2",
        "été",
        "x'y",
        "semi--colon",
        "%s",
        "?",
        "rowid",
        "c0",
    ]
    source = one(("insert", {"id": "a", **dict.fromkeys(odd, "v")}))
    run(mirror(shop, 'my "own" schema', "a table; DROP"), source)
    [row] = query('SELECT * EXCLUDE (id, _rest) FROM "my ""own"" schema"."a table; DROP"')
    assert row == ("v",) * len(odd)


@pytest.mark.parametrize(
    ("text", "schema", "name"),
    [
        ("orders", "main", "orders"),
        ("sales.orders", "sales", "orders"),
        ('"my.table"', "main", "my.table"),
        ('sales."with ""quotes"""', "sales", 'with "quotes"'),
        ("with space", "main", "with space"),
    ],
)
def test_table_names(shop, text, schema, name):
    loaders.load(one(insert("a")), shop, table=text, follow=False)
    assert query("SELECT table_schema, table_name FROM _shardarrow_checkpoints") == [(schema, name)]


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a.b.c.d", '"open', '"a"b', "a\0b"])
def test_bad_table_names(shop, text):
    with pytest.raises(UsageError, match="not a table's name"):
        loaders.load(one(insert("a")), shop, table=text)


def test_without_table_the_name_of_the_source_is_taken_as_it_is(shop):
    source = one(insert("a"))
    source.table = "my.table"
    loaders.load(source, shop, follow=False)
    assert query('SELECT id FROM "my.table"') == [("a",)]


# What is saved with the data.


def test_the_first_state_is_saved_before_anything_is_read(shop):
    run(mirror(shop), Source([]))
    assert query("SELECT mode, changes FROM _shardarrow_checkpoints") == [("mirror", 0)]
    assert query("SELECT column_name FROM (DESCRIBE orders)") == [("id",)]


def test_a_restart_goes_on_where_the_table_is(shop):
    source = Source(random_batches(3, 60), RANDOM_KEYS)
    everything, source.batches = source.batches, source.batches[:4]
    run(append(shop), source)
    source.batches = everything
    report = run(append(shop), source)
    assert source.streams[1].options == {"follow": False}
    assert (report.resumed, report.rows) == (True, 60 - 28)
    assert query("SELECT changes FROM _shardarrow_checkpoints") == [(60,)]
    assert query("SELECT count(*), count(DISTINCT _sequence) FROM orders") == [(60, 60)]


def test_gaps_and_quarantine_are_in_the_same_commit(shop):
    source = one(insert("a"))
    source.gaps[1] = ['{"cause": "trimmed"}']
    source.quarantined[1] = [("shard-0", "17", b"\x00{", "not a record"), ("shard-0", None, b"", "worse")]
    report = run(mirror(shop), source)
    assert query("SELECT table_name, gap FROM _shardarrow_gaps") == [("orders", '{"cause": "trimmed"}')]
    assert query("SELECT shard, sequence, record, reason FROM _shardarrow_quarantine") == [
        ("shard-0", "17", b"\x00{", "not a record"),
        ("shard-0", None, b"", "worse"),
    ]
    assert (report.gaps, report.quarantined, report.epoch) == (1, 2, 1)


def test_saved_tells_what_a_destination_holds(shop):
    source = one(insert("a"), insert("b"))
    source.gaps[1] = ["{}"]
    run(mirror(shop, "sales", "my orders"), source)
    [saved] = loaders.saved(shop)
    assert (saved.table, saved.mode, saved.changes, saved.gaps) == ('sales."my orders"', "mirror", 2, 1)
    assert '"place": 1' in saved.checkpoint
    assert abs(saved.saved_at - time.time()) < 60
    query("SELECT 1", "other.duckdb")
    assert loaders.saved("duckdb:///other.duckdb") == []
    with pytest.raises(LoadError, match=r"none\.duckdb does not exist"):
        loaders.saved("duckdb:///none.duckdb")


def test_two_tables_share_a_file(shop):
    run(mirror(shop, "one"), one(insert("a")))
    run(append(shop, "two"), one(insert("b")))
    assert query("SELECT table_name, mode FROM _shardarrow_checkpoints ORDER BY ALL") == [
        ("one", "mirror"),
        ("two", "append"),
    ]
    with pytest.raises(LoadError, match="mode='mirror'"):
        run(append(shop, "one"), one(insert("a")))


def test_a_changed_state_of_an_idle_stream_is_saved(shop):
    source = one(insert("a"))
    source.idle_checkpoints = [0, 1, 1, 2]
    report = run(mirror(shop), source)
    assert query("SELECT checkpoint->>'note' FROM _shardarrow_checkpoints") == [("2",)]
    assert report.commits == 4, "the first state, the batch, and the two changes"


def test_what_a_failing_stream_gave_is_written_before_its_error(shop):
    batches = random_batches(1, 14)
    with pytest.raises(ConnectionError, match="unplugged"):
        run(append(shop), Source([*batches, ConnectionError("unplugged")], RANDOM_KEYS), load_interval=60)
    assert query("SELECT count(*) FROM orders") == [(14,)]


def test_the_report_says_that_there_was_no_snapshot(shop):
    report = run(mirror(shop), one(insert("a"), insert("b")))
    assert "did not start with a snapshot" in repr(report)
    assert "2 changes in 2 commits" in repr(report)
    assert "snapshot" not in repr(run(append(shop, "log"), one(insert("a"))))


# What does not belong together.


def test_a_table_with_rows_and_no_checkpoint(shop):
    query("CREATE TABLE orders AS SELECT 1 AS id")
    with pytest.raises(LoadError, match=r"table orders in shop\.duckdb has rows but there is no checkpoint"):
        run(mirror(shop), one(insert("a")))
    assert query("FROM orders") == [(1,)]


def test_an_empty_table_made_by_hand_is_filled(shop):
    query("CREATE TABLE orders (ID VARCHAR, note VARCHAR, n DECIMAL(38,9))")
    run(mirror(shop), one(insert("a", n=1), insert("b", n=2), ("remove", {"id": "b"})))
    assert query("SELECT id, note, n FROM orders") == [("a", None, Decimal(1))]


def test_a_checkpoint_without_its_table(shop):
    source = one(insert("a"))
    run(mirror(shop), source)
    query("DROP TABLE orders")
    with pytest.raises(
        LoadError, match="the table is gone: restore the table, or start again after DELETE FROM"
    ) as error:
        run(mirror(shop), source)
    query(str(error.value).split("after ")[1])
    run(mirror(shop), source)
    assert query("SELECT id FROM orders") == [("a",)]


def test_a_view_of_that_name(shop):
    query("CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(LoadError, match="orders is a view"):
        run(mirror(shop), one(insert("a")))


def test_a_column_that_cannot_hold_its_attribute(shop):
    query("CREATE TABLE orders (id VARCHAR, n BOOLEAN)")
    with pytest.raises(
        LoadError, match="column 'n' of table orders is BOOLEAN but its values arrive as BIGINT"
    ):
        run(mirror(shop), one(insert("a", n=1)))
    assert query("SELECT checkpoint->>'place' FROM _shardarrow_checkpoints") == [("0",)]


def test_two_loaders_of_one_table_do_not_load_twice(shop):
    first, second = Source(random_batches(1, 14), RANDOM_KEYS), Source(random_batches(1, 14), RANDOM_KEYS)
    late = append(shop)
    late.resume()
    run(append(shop), first)
    late.resume = lambda: None
    with pytest.raises(CheckpointBusyError, match="another loader"):
        run(late, second)
    assert query("SELECT count(*) FROM orders") == [(14,)]


# Where it is written.


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ("shop.duckdb", "is not known; write a URL such as 'duckdb:///shop.duckdb'"),
        ("postgres://x/y", "is not known"),
        ("duckdb://shop.duckdb", "is not a DuckDB URL"),
        ("duckdb:///shop.duckdb?x=1", "is not a DuckDB URL"),
        ("duckdb:///", "names no file"),
        ("duckdb:///:memory:", "open connection"),
        (42, "not int"),
    ],
)
def test_bad_destinations(where, sentence):
    with pytest.raises(UsageError, match=sentence):
        loaders.load(one(insert("a")), where)


def test_a_missing_package_is_named_before_anything_is_contacted(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    source = one(insert("a"))
    with pytest.raises(LoadError, match=r"pip install 'shardarrow\[duckdb\]'"):
        loaders.load(source, shop)
    monkeypatch.undo()
    monkeypatch.setattr(duckdb, "__version__", "1.4.5")
    with pytest.raises(LoadError, match=r"needs duckdb 2\.0 or later but 1\.4\.5 is installed"):
        loaders.load(source, "duckdb:///never.duckdb")
    assert not source.streams


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"mode": "upsert"}, "mode='upsert' is not one of"),
        ({"load_interval": -1}, "load_interval="),
        ({"load_interval": float("nan")}, "load_interval="),
        ({"lock_timeout": "x"}, "lock_timeout="),
        ({"checkpoint": "x"}, "load\\(\\) takes no checkpoint="),
        ({"commit": "manual"}, "load\\(\\) takes no commit="),
    ],
)
def test_bad_options(shop, option, sentence):
    with pytest.raises(UsageError, match=sentence):
        loaders.load(one(insert("a")), shop, **option)


def test_a_path_may_be_absolute_and_have_odd_letters(tmp_path):
    run(mirror(f"duckdb:///{tmp_path}/a%20b%3F.duckdb"), one(insert("a")))
    assert query("SELECT id FROM orders", tmp_path / "a b?.duckdb") == [("a",)]


@pytest.mark.parametrize("path", ["missing/shop.duckdb", "plain.txt", "."])
def test_a_file_that_cannot_be_opened_fails_at_once(shop, path):
    Path("plain.txt").write_text("not a database" * 1000)
    source = one(insert("a"))
    with pytest.raises(LoadError, match=f"cannot open {path}"):
        run(mirror(f"duckdb:///{path}"), source)


HOLD = (
    "import duckdb, sys; c = duckdb.connect('shop.duckdb'); print('held', flush=True); sys.stdin.readline()"
)


@pytest.fixture
def holder(shop):
    """Another process that holds the file until it reads a line."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_file_is_waited_for(shop, holder, monkeypatch):
    waits = []

    def release(seconds):
        waits.append(seconds)
        if holder.poll() is None:
            holder.communicate("\n")

    monkeypatch.setattr("time.sleep", release)
    run(mirror(shop), one(insert("a")))
    assert waits
    assert query("SELECT id FROM orders") == [("a",)]


def test_a_file_held_for_too_long_is_an_error(shop, holder):
    with pytest.raises(LoadError, match=rf"shop.duckdb is held by process {holder.pid}: .*lock_timeout"):
        run(DuckDBLoader(shop, ("orders",), "mirror", lock_timeout=0.1), one(insert("a")))
    holder.communicate("\n")
    assert query("SELECT 1") == [(1,)]


COUNT = """
import duckdb
[(count,)] = duckdb.connect("shop.duckdb", read_only=True).execute("SELECT count(*) FROM orders").fetchall()
print(count)
"""


def test_others_can_read_between_commits(shop):
    counts = []

    def look(report, _):
        if report.rows:
            result = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
            counts.append(int(result.stdout))

    columns = Columns([("id", "S")])
    source = Source([columns.batch([insert(f"k{place}")]) for place in range(3)])
    loaders.load(source, shop, follow=False, load_interval=0, progress=look)
    assert counts[:3] == [1, 2, 3]


def test_an_open_connection_is_used_and_stays_open():
    connection = duckdb.connect()
    connection.execute(
        "CREATE SCHEMA sales; USE sales; BEGIN; CREATE TEMP TABLE shardarrow_staged (mine INTEGER)"
    )
    run(mirror(connection), Source(random_batches(2, 50), RANDOM_KEYS))
    connection.execute("COMMIT")
    assert connection.execute("SELECT count(*) FROM sales.orders").fetchone()[0] > 0
    assert connection.execute("FROM temp.shardarrow_staged").fetchall() == []
    connection.close()
    with pytest.raises(LoadError, match="the open DuckDB connection cannot be used"):
        run(mirror(connection), one(insert("a")))


class Conflicted(DuckDBLoader):
    """Ends the transaction that is in its way once it has met it."""

    def __init__(self, connection, other):
        super().__init__(connection, ("orders",), "mirror")
        self.other, self.conflicts = other, 0

    def _roll_back(self, connection):
        super()._roll_back(connection)
        self.conflicts += 1
        self.other.execute("ROLLBACK")


def test_a_conflict_with_another_transaction_is_tried_again():
    connection = duckdb.connect()
    columns = Columns([("id", "S")])
    source = Source([columns.batch([insert("a", n=1)])])
    run(mirror(connection), source)
    source.batches.append(columns.batch([insert("a", n=2)]))
    other = connection.cursor()
    other.execute("BEGIN; DELETE FROM orders")
    loader = Conflicted(connection, other)
    run(loader, source)
    assert loader.conflicts == 1
    assert connection.execute("SELECT id, n FROM orders").fetchall() == [("a", 2)]


def test_an_index_of_the_user_survives_widening(shop):
    columns = Columns([("id", "S")])
    source = Source([columns.batch([insert("a", n=1)])])
    run(mirror(shop), source)
    query("CREATE INDEX by_n ON orders (n)")
    source.batches.append(columns.batch([insert("b", n=Decimal("0.5"))]))
    run(mirror(shop), source)
    assert query("SELECT index_name FROM duckdb_indexes()") == [("by_n",)]
    assert query("SELECT id, n FROM orders ORDER BY id") == [("a", Decimal(1)), ("b", Decimal("0.5"))]


# Stopping and dying.


@pytest.mark.parametrize("mode", ["mirror", "append"])
def test_killed_anywhere_every_change_takes_effect_once(shop, mode):
    kills = [f"{place}:{write}" for write in (1, 4) for place in PLACES]
    for kill in kills:
        assert script(shop, mode, "11:400", kill, check=False).returncode == -signal.SIGKILL
    script(shop, mode, "11:400", "-")
    changes = random_changes(11, 400)
    if mode == "mirror":
        assert items(keys=("id", "rank")) == model(changes, RANDOM_KEYS)
    else:
        rows = query("SELECT CAST(_sequence AS INTEGER), _op, id FROM orders ORDER BY rowid")
        assert rows == [(place, op, item["id"]) for place, (op, item) in enumerate(changes)]
    assert query("SELECT changes FROM _shardarrow_checkpoints") == [(400,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_batch_in_hand(shop, number):
    columns = Columns([("id", "S")])
    source = Source([columns.batch([insert("a")])], at_end=lambda: signal.raise_signal(number))
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    report = loaders.load(Endless(source), shop, load_interval=60)
    assert report.stopped_by == number.name
    assert query("SELECT id FROM orders") == [("a",)]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


class Endless:
    """A source whose streams never end."""

    def __init__(self, source):
        self._source = source

    def __getattr__(self, name):
        return getattr(self._source, name)

    def _stream_for_loader(self, saved, **options):
        stream = self._source._stream_for_loader(saved, **options)
        stream.__class__ = type("EndlessStream", (type(stream),), {"_ended": False})
        return stream


class Twice(DuckDBLoader):
    """Hears a signal twice in the middle of a transaction with data."""

    def _commit(self, connection):
        if self._entry:
            self._hear()
        super()._commit(connection)

    def _hear(self):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


class TwiceInDuckDB(Twice):
    """As `Twice`, with DuckDB at work, which turns the interrupt into a RuntimeError."""

    def _hear(self):
        try:
            super()._hear()
        except KeyboardInterrupt:
            raise RuntimeError("Query interrupted") from None


@pytest.mark.parametrize("loader", [Twice, TwiceInDuckDB])
def test_a_second_signal_leaves_at_once_and_loses_nothing(shop, loader):
    source = Source(random_batches(4, 40), RANDOM_KEYS)
    with pytest.raises(KeyboardInterrupt):
        run(loader(shop, ("orders",), "append"), source)
    assert query("SELECT changes FROM _shardarrow_checkpoints") == [(0,)]
    run(append(shop), source)
    assert query("SELECT count(*), count(DISTINCT _sequence) FROM orders") == [(40, 40)]


async def test_load_async_ends_by_itself(shop):
    report = await loaders.load_async(
        Source(random_batches(1, 30), RANDOM_KEYS), shop, follow=False, load_interval=0
    )
    assert report.rows == 30


async def test_a_cancelled_load_commits_what_it_has(shop):
    home, idle = asyncio.get_running_loop(), asyncio.Event()
    source = one(insert("a"))
    source.at_end = lambda: (home.call_soon_threadsafe(idle.set), time.sleep(0.01))
    task = asyncio.create_task(loaders.load_async(Endless(source), shop, load_interval=60))
    await idle.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert query("SELECT id FROM orders") == [("a",)]


# With a table of the emulator.


QUICK = {"follow": False, "settle": 0.3, "poll_interval": 0.05}


@pytest.fixture
def here(emulator, shop, monkeypatch):
    """The AWS chain points at the emulator."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)


def dynamodb_item(item):
    kinds = {str: "S", bool: "BOOL", bytes: "B"}
    return {
        name: {kinds[type(value)]: value} if type(value) in kinds else {"N": canonical(value)}
        for name, value in item.items()
    }


def write(tables, table, changes):
    for op, item in changes:
        if op == "remove":
            tables.dynamodb.delete_item(TableName=table, Key=dynamodb_item(item))
        else:
            tables.put(table, dynamodb_item(item))


def test_a_mirror_of_a_real_table_equals_it(here, shop, tables):
    table, changes = tables.make("random", dict(RANDOM_KEYS)), random_changes(9, 300)
    orders = sa.dynamodb(table, start="earliest")
    write(tables, table, changes[:100])
    assert not sa.load(orders, shop, table="orders", **QUICK).resumed
    write(tables, table, changes[100:])
    report = sa.load(orders, shop, table="orders", **QUICK)
    assert report.resumed
    assert report.rows > 0
    assert items(keys=("id", "rank")) == model(changes, RANDOM_KEYS)


def test_structs_of_a_real_table_grow(here, shop, tables):
    table = tables.make("nested", {"id": "S"})
    numbers = ("1", "2.5", "3." + "1" * 30)
    for place, number in enumerate(numbers):
        inside = {"n": {"N": number}, f"x{place}": {"L": [{"N": number}]}}
        tables.put(table, {"id": {"S": f"k{place}"}, "m": {"M": inside}})
        sa.load(sa.dynamodb(table, start="earliest", nested="struct"), shop, table="orders", **QUICK)
    rows = query("SELECT m.n, m.x0, m.x1, m.x2 FROM orders ORDER BY id")
    assert [row[0] for row in rows] == list(numbers)
    assert rows[0][1] in ([1], ["1"])
    assert rows[2][3] == [numbers[2]]


def test_the_checkpoint_of_another_table_is_refused(here, shop, tables):
    one_table, other = tables.make("one", {"id": "S"}), tables.make("other", {"id": "S"})
    sa.load(sa.dynamodb(one_table, start="earliest"), shop, table="orders", **QUICK)
    with pytest.raises(CheckpointMismatchError, match="one"):
        sa.load(sa.dynamodb(other, start="earliest"), shop, table="orders", **QUICK)


def test_a_stream_without_new_images_cannot_be_mirrored(here, shop, tables):
    table = tables.make("keys", {"id": "S"}, view="KEYS_ONLY")
    tables.put(table, {"id": {"S": "a"}})
    orders = sa.dynamodb(table, start="earliest")
    with pytest.raises(StreamUnusableError, match="no new image"):
        sa.load(orders, shop, table="orders", **QUICK)
    assert not Path("shop.duckdb").exists()
    sa.load(orders, shop, table="orders", mode="append", **QUICK)
    assert query("SELECT _op, id FROM orders") == [("insert", "a")]


def test_images_as_json_are_appended_whole(here, shop, tables):
    table = tables.make("json", {"id": "S"})
    tables.put(table, {"id": {"S": "a"}, "n": {"N": "1"}})
    sa.load(sa.dynamodb(table, start="earliest", images="json"), shop, table="orders", mode="append", **QUICK)
    assert query("SELECT new_image->'n'->>'N' FROM orders") == [("1",)]


async def test_load_async_follows_a_real_table(here, shop, tables):
    table, home, seen = tables.make("live", {"id": "S"}), asyncio.get_running_loop(), asyncio.Event()

    def look(report, stream):
        if report.rows:
            home.call_soon_threadsafe(seen.set)

    orders = sa.dynamodb(table, start="earliest")
    task = asyncio.create_task(
        sa.load_async(orders, shop, load_interval=0.1, progress=look, poll_interval=0.05)
    )
    tables.put(table, {"id": {"S": "a"}})
    async with asyncio.timeout(60):
        await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert query("SELECT id FROM live") == [("a",)]
