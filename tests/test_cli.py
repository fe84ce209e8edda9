"""The command line, as somebody types it."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import subprocess
import sys
from decimal import Decimal
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest

import shardarrow as sa
from shardarrow.cli import build_parser, main
from shardarrow.cli.grid import grid
from shardarrow.cli.shards import tree
from shardarrow.cli.status import Found, lines
from shardarrow.cli.values import as_json, plain
from shardarrow.source import Shard

QUICK = ["--settle", "0.3", "--poll-interval", "0.05"]
ENTRY = [sys.executable, "-c", "import sys; from shardarrow.cli import main; sys.exit(main())"]
ORDERS = [
    {"id": {"S": "a"}, "amount": {"N": "19.90"}, "paid": {"BOOL": True}, "note": {"S": "two words"}},
    {
        "id": {"S": "b"},
        "amount": {"N": "1234567890123456789"},
        "tags": {"SS": ["x", "y"]},
        "raw": {"B": b"\0"},
    },
    {"id": {"S": "c"}, "nested": {"M": {"deep": {"N": "1.50"}}}},
]


@pytest.fixture
def orders(emulator, tables, tmp_path, monkeypatch):
    """A table of three orders, of which one was deleted again, and an empty directory to stand in."""
    for name, value in emulator.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    name = tables.make(keys={"id": "S"})
    tables.put(name, *ORDERS)
    tables.dynamodb.delete_item(TableName=name, Key={"id": {"S": "c"}})
    return name


@pytest.fixture
def run(capsys):
    """`run("read", …)` → (exit code, stdout, stderr)."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as left:
            code = left.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# load


def test_load_once_makes_a_mirror(orders, run):
    load = ("load", f"dynamodb://{orders}?start=earliest", "duckdb:///shop.duckdb", "--once", *QUICK)
    code, out, err = run(*load)
    assert (code, "4 changes" in out) == (0, True), err
    assert "did not start with a snapshot" in out
    assert "starts at 'earliest'" in err
    with duckdb.connect("shop.duckdb") as file:
        rows = file.execute(f'SELECT id, amount FROM "{orders}" ORDER BY id').fetchall()
    assert rows == [("a", Decimal("19.9")), ("b", Decimal("1234567890123456789"))]
    code, out, err = run(*load)
    assert (code, "0 changes" in out, "goes on where it was" in err) == (0, True, True)


def test_load_into_another_table_in_append_mode(orders, run):
    arguments = ("--table", "log.changes", "--mode", "append", "--once", "--start", "earliest")
    assert run("load", orders, "duckdb:///shop.duckdb", *arguments, *QUICK)[0] == 0
    with duckdb.connect("shop.duckdb") as file:
        operations = file.execute("SELECT _op, id FROM log.changes ORDER BY rowid").fetchall()
    assert operations == [("insert", "a"), ("insert", "b"), ("insert", "c"), ("remove", "c")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_load_with_everything_committed(orders, start_process, number):
    load = start_process(*ENTRY, "load", orders, "duckdb:///shop.duckdb", "--start", "earliest")
    wait_for_rows(orders, 2)
    load.send_signal(number)
    out, _ = load.communicate()
    assert load.returncode == 130
    assert f"stopped by {number.name}" in out


def wait_for_rows(table, count):
    """Looks into the file, as another process, until the mirror has the rows."""
    look = (
        "import duckdb, sys; print(duckdb.connect('shop.duckdb', read_only=True).sql(sys.argv[1]).fetchall())"
    )
    command = [sys.executable, "-c", look, f'SELECT count(*) FROM "{table}"']
    for _ in range(200):
        result = subprocess.run(command, capture_output=True, text=True)
        if result.stdout.strip() == f"[({count},)]":
            return
    raise AssertionError(f"the mirror never had {count} rows: {result.stderr}")


# read


def read(run, orders, *arguments):
    code, out, err = run("read", orders, "--start", "earliest", *QUICK, *arguments)
    assert code == 0, err
    return out


def test_read_to_the_screen_is_csv_when_it_is_no_terminal(orders, run):
    rows = list(csv.DictReader(read(run, orders).splitlines()))
    assert [(row["_op"], row["id"], row["amount"]) for row in rows] == [
        ("insert", "a", "19.9"),
        ("insert", "b", "1234567890123456789"),
        ("insert", "c", ""),
        ("remove", "c", ""),
    ]
    assert rows[1]["tags"] == '["x", "y"]'


def test_read_to_files(orders, run):
    for ending in ("csv", "jsonl", "ndjson", "arrow", "parquet"):
        read(run, orders, f"out.{ending}")
    objects = [json.loads(line, parse_float=Decimal) for line in Path("out.jsonl").read_text().splitlines()]
    assert objects[0]["amount"] == Decimal("19.9")
    assert objects[1]["raw"] == "AA=="
    assert objects[2]["nested"] == {"deep": Decimal("1.5")}
    assert "amount" not in objects[3]
    assert Path("out.ndjson").read_text() == Path("out.jsonl").read_text()
    assert len(list(csv.DictReader(Path("out.csv").read_text().splitlines()))) == 4
    with pa.ipc.open_file("out.arrow") as file:
        table = file.read_all()
    assert table["id"].to_pylist() == ["a", "b", "c", "c"]
    assert pyarrow.parquet.read_table("out.parquet")["id"].to_pylist() == ["a", "b", "c", "c"]
    assert not list(Path().glob("*.part"))


def test_an_unknown_ending_is_refused_before_anything_is_read(run):
    code, _, err = run("read", "orders", "out.xlsx")
    assert (code, err.count("\n")) == (2, 1)
    assert "must end in one of .csv, .jsonl" in err


def test_a_missing_package_is_one_line(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = run("tail", "orders")
    assert (code, err) == (1, "shardarrow: this command needs pyarrow: pip install 'shardarrow[arrow]'\n")


# tail and shards


def test_tail_has_one_line_per_change(orders, run):
    code, out, _ = run("tail", orders, "--start", "earliest", "--once", *QUICK)
    said = [line.split(" ", 1)[1] for line in out.splitlines()]
    assert code == 0
    assert said[0] == 'insert id=a amount=19.9 paid=true note="two words"'
    assert said[2] == 'insert id=c nested={"deep":1.5}'
    assert said[3] == "remove id=c"


def test_tail_as_json(orders, run):
    _, out, _ = run("tail", orders, "--start", "earliest", "--once", "--as-json", *QUICK)
    changes = [json.loads(line) for line in out.splitlines()]
    assert [change["_op"] for change in changes] == ["insert", "insert", "insert", "remove"]


def test_tail_follows_from_now_on(orders, tables, start_process):
    tail = start_process(*ENTRY, "tail", orders, "--verbose", "--poll-interval", "0.05")
    # Until the stream has its position a change may be older than "now": write until one is seen.
    os.set_blocking(tail.stdout.fileno(), False)
    for number in count():
        tables.put(orders, {"id": {"S": "later"}, "number": {"N": str(number)}})
        if line := tail.stdout.readline():
            break
        assert tail.poll() is None, tail.stderr.read()
    assert "modify id=later" in line or "insert id=later" in line
    assert "id=a" not in line
    tail.send_signal(signal.SIGINT)
    tail.communicate()
    assert tail.returncode == 130


def test_shards(orders, run):
    code, out, err = run("shards", orders)
    assert (code, "open" in out, err) == (0, True, "1 shard, 1 open\n")
    [shard] = [json.loads(line) for line in run("shards", orders, "--as-json")[1].splitlines()]
    assert (shard["state"], shard["parents"]) == ("open", [])


def test_the_tree_of_shards():
    shards = [
        Shard("a", (), "1", "9"),
        Shard("b", ("a",), "10", "19"),
        Shard("c", ("b",), "20", None),
        Shard("d", ("b",), "20", None),
        Shard("e", ("gone",), "5", None),
    ]
    assert tree(shards) == [
        "a  closed  1 … 9",
        "b  closed  10 … 19  after a",
        "  c  open    20 …  after b",
        "  d  open    20 …  after b",
        "e  open    5 …  after gone (gone)",
    ]


def test_a_lineage_of_any_length_is_drawn():
    shards = [Shard(str(place), (str(place - 1),), "1", "2") for place in range(5000)]
    assert len(tree(shards)) == 5000


# status


def test_status_of_a_destination(orders, run):
    run("load", orders, "duckdb:///shop.duckdb", "--once", "--start", "earliest", *QUICK)
    code, out, _ = run("status", "duckdb:///shop.duckdb")
    assert code == 0
    assert out.startswith(
        f"{orders}: {orders} (mirror)" if orders.isidentifier() else f'"{orders}": {orders} (mirror)'
    )
    for words in ("4 changes", "1 being read, 0 finished", "did not start with a snapshot"):
        assert words in out
    assert run("status", "shop.duckdb")[1].splitlines()[0] == out.splitlines()[0]
    [found] = [json.loads(line) for line in run("status", "shop.duckdb", "--as-json")[1].splitlines()]
    assert (found["changes"], found["from_snapshot"], found["gaps"]) == (4, False, 0)


def test_status_of_a_checkpoint_file(orders, run):
    source = sa.dynamodb(orders, start="earliest")
    with source.stream("orders.ckpt", follow=False, settle=0.3, poll_interval=0.05) as stream:
        for _ in stream:
            pass
    code, out, _ = run("status", "orders.ckpt")
    assert (code, out.splitlines()[0]) == (0, f"default: {orders}")
    assert "1 being read" in out
    assert "snapshot" not in out, "that is a property of a mirror"


@pytest.mark.parametrize(
    ("place", "code", "sentence"),
    [
        ("none.ckpt", 2, "there is no file 'none.ckpt'"),
        ("duckdb:///none.duckdb", 1, "none.duckdb does not exist"),
        ("text.ckpt", 1, "text.ckpt is not a checkpoint file"),
        ("redis://x", 2, "is not known"),
    ],
)
def test_status_of_something_else(tmp_path, monkeypatch, run, place, code, sentence):
    monkeypatch.chdir(tmp_path)
    Path("text.ckpt").write_text("hello " * 1000)
    found, _, err = run("status", place)
    assert (found, err.count("\n")) == (code, 1)
    assert sentence in err


def test_the_lag_is_unknown_until_every_shard_was_read_to_its_end():
    shards = {"a": {"position": "beginning", "verified": 1000}, "b": {"position": "beginning"}}
    checkpoint = {"table": "t", "stream_arn": "arn", "start": "latest", "epoch": 1, "shards": shards}
    found = Found("t", "mirror", checkpoint | {"schema": {"columns": []}}, 5, 2, 1, saved_at=100.0)
    assert "  lag          unknown: some shard was not read up to its end yet" in list(lines(found, 400.0))
    shards["b"]["finished"] = 1
    said = list(lines(found, 400.0))
    assert "  lag          7 min: every change older than that is in" in said
    assert "  saved        5 min ago" in said
    assert "  gaps         2: changes are known to be lost" in said


# Errors and the screen


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "required: COMMAND"),
        (["lod"], "invalid choice: 'lod'"),
        (["load", "orders"], "required: DESTINATION"),
        (["load", "orders", "duckdb:///x", "--mode", "upsert"], "--mode: invalid choice"),
        (
            ["load", "orders", "duckdb:///x", "--load-interval", "soon"],
            "--load-interval: invalid float value",
        ),
        (
            ["load", "orders", "duckdb:///x", "--start", "earliest", "--load-interval", "-1"],
            "load_interval=-1.0",
        ),
        (["load", "orders", "x.duckdb", "--start", "earliest"], "'x.duckdb' is not known"),
        (["load", "orders", "duckdb:///x", "--start", "sometime"], "start='sometime'"),
        (["load", "dynamodb://orders?region=x", "duckdb:///x", "--region", "y"], "'region' stands twice"),
        (["read", "orders", "--start", "earliest", "--memory-limit", "much"], "memory_limit='much'"),
        (["tail", "dynamodb://orders?colour=red"], "unknown option 'colour'"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run, arguments, sentence):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err


def test_a_failure_is_one_line_and_verbose_adds_what_lies_below(orders, run):
    code, _, err = run("shards", "no-such-table")
    assert (code, err.count("\n")) == (1, 1)
    assert "no-such-table" in err
    Path("not.duckdb").write_text("hello" * 1000)
    load = ("load", orders, "duckdb:///not.duckdb", "--start", "earliest", "--once", *QUICK)
    brief, whole = run(*load)[2], run(*load, "--verbose")[2]
    assert brief.count("\n") == 1
    assert whole.startswith(brief)
    assert "because: IO Error" in whole


def test_the_next_program_may_stop_reading(orders):
    tail = [*ENTRY, "tail", orders, "--start", "earliest", "--once", *QUICK]
    with subprocess.Popen(tail, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == ("", 0)


def test_progress_is_one_line_rewritten_on_a_terminal(orders):
    ours, theirs = pty.openpty()
    load = [*ENTRY, "load", orders, "duckdb:///shop.duckdb", "--start", "earliest", "--once", *QUICK]
    with subprocess.Popen(load, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:
            pass  # On Linux a terminal that nobody holds ends with an error.
        os.close(ours)
        assert process.wait() == 0
    assert b"\r\x1b[K4 changes, " in said
    assert b"lag " in said
    assert said.endswith(b"\r\x1b[K"), "the line was left behind"


@pytest.mark.parametrize("command", ["load", "read", "tail", "shards", "status", "demo"])
def test_every_command_has_help(run, command):
    code, out, _ = run(command, "--help")
    assert (code, out.startswith(f"usage: shardarrow {command}")) == (0, True)


def test_flags_may_stand_between_source_and_out():
    parsed = build_parser().parse_args(["read", "orders", "--start", "earliest", "out.csv"])
    assert (parsed.source, parsed.out) == ("orders", Path("out.csv"))


def test_the_version(run):
    assert run("--version")[:2] == (0, f"shardarrow {sa.__version__}\n")


def test_values_keep_every_digit():
    long = Decimal("12345678901234567890123456789.123456789")
    assert plain(long) == "12345678901234567890123456789.123456789"
    assert as_json({"n": [long, Decimal("1.500000000"), None, b"\0", "é\n"]}) == (
        '{"n": [12345678901234567890123456789.123456789, 1.5, null, "AA==", "é\\n"]}'
    )


def test_the_grid_is_cut_to_the_terminal():
    said = list(grid(["a", "long"], [["1", "x" * 50], ["22", "line\nbreak"]], 20))
    assert said == ["a   long", "1   " + "x" * 15 + "…", "22  line⏎break"]
