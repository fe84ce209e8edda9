"""Loading into a Kinesis stream: at least once, with the checkpoint in a file of its own."""

import base64
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import shardarrow as sa
from services import Twin

MANY = 2000


@pytest.fixture
def table(twin: Twin) -> str:
    """Forty items, each changed many times: the stream holds them in order of `n` per key."""
    dynamodb = twin.client("dynamodb")
    dynamodb.create_table(
        TableName="orders",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    twin.client("kinesis").create_stream(StreamName="out", ShardCount=2)
    return "orders"


def fill(twin: Twin, count: int, start: int = 0) -> None:
    dynamodb = twin.client("dynamodb")
    for n in range(start, start + count):
        dynamodb.put_item(TableName="orders", Item={"id": {"S": f"o-{n % 40}"}, "n": {"N": str(n)}})


def source(twin: Twin, **options: Any) -> sa.Source:
    return sa.dynamodb("orders", endpoint_url=twin.endpoint_url, **{"start": "earliest", **options})


def destination(twin: Twin, **options: str) -> str:
    given = {"endpoint_url": twin.endpoint_url, **options}
    return "kinesis://out?" + "&".join(f"{name}={value}" for name, value in given.items())


def once(**options: Any) -> dict[str, Any]:
    return {"mode": "append", "follow": False, "settle": 0.2, "poll_interval": 0.02, **options}


def rows(twin: Twin) -> list[dict[str, Any]]:
    history = twin.control("kinesis_history", stream="out")["records"]
    return [
        {"key": record["partition_key"], **json.loads(base64.b64decode(record["data"]))} for record in history
    ]


def numbers_by_key(rows: list[dict[str, Any]]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        assert row["key"] == row["id"]
        found[row["id"]].append(row["n"])
    return found


def test_changes_become_records_with_the_key_of_their_item(twin: Twin, table: str, tmp_path: Path) -> None:
    dynamodb = twin.client("dynamodb")
    item = {"id": {"S": "a"}, "amount": {"N": "1.50"}, "tags": {"L": [{"N": "12345678901234567890"}]}}
    dynamodb.put_item(TableName="orders", Item=item)
    dynamodb.delete_item(TableName="orders", Key={"id": {"S": "a"}})
    report = sa.load(source(twin), destination(twin, checkpoint=str(tmp_path / "c")), **once())
    assert (report.rows, report.inserts, report.notes) == (2, 2, [])
    insert, remove = rows(twin)
    for row in (insert, remove):
        for unknown in ("_time", "_shard", "_sequence", "_event_id"):
            assert row.pop(unknown)
    assert insert == {
        "key": "a",
        "_op": "insert",
        "_ttl": False,
        "id": "a",
        "amount": 1.5,
        "tags": [12345678901234567890],
    }
    assert remove == {"key": "a", "_op": "remove", "_ttl": False, "id": "a"}


def test_a_second_load_goes_on_where_the_first_ended(twin: Twin, table: str, tmp_path: Path) -> None:
    into = destination(twin, checkpoint=str(tmp_path / "out.ckpt"))
    fill(twin, 50)
    assert not sa.load(source(twin), into, **once()).resumed
    fill(twin, 30, start=50)
    report = sa.load(source(twin), into, **once())
    assert report.resumed and report.rows == 30
    assert sorted(row["n"] for row in rows(twin)) == list(range(80))
    again = sa.load(source(twin), into, **once())
    assert again.rows == 0


def test_without_a_checkpoint_a_load_begins_anew_and_says_so(twin: Twin, table: str) -> None:
    fill(twin, 10)
    for _ in range(2):
        report = sa.load(source(twin), destination(twin), **once())
        assert "no checkpoint was kept" in repr(report)
    assert len(rows(twin)) == 20


def test_two_loads_cannot_share_a_checkpoint(twin: Twin, table: str, tmp_path: Path) -> None:
    into = destination(twin, checkpoint=str(tmp_path / "c"))
    other = source(twin).stream(str(tmp_path / "c"), name="out")
    with other, pytest.raises(sa.CheckpointBusyError):
        sa.load(source(twin), into, **once())


def test_lost_answers_are_told_of(twin: Twin, table: str, tmp_path: Path) -> None:
    fill(twin, 10)
    twin.inject("Kinesis.PutRecords", {"kind": "lost_reply"})
    report = sa.load(source(twin), destination(twin, checkpoint=str(tmp_path / "c")), **once())
    assert "1 requests were not answered" in repr(report)
    assert sorted({row["n"] for row in rows(twin)}) == list(range(10))


CHILD = """
import sys
import shardarrow as sa
sa.load(
    sa.dynamodb("orders", start="earliest", endpoint_url=sys.argv[1]),
    sys.argv[2], mode="append", load_interval=0.02, poll_interval=0.02, batch_rows=50,
)
"""


def test_killed_loads_repeat_and_lose_nothing(
    twin: Twin, table: str, tmp_path: Path, start_process: Callable[..., subprocess.Popen[str]]
) -> None:
    """Each kill comes at another place: after so many records more."""
    fill(twin, MANY)
    twin.control("knobs", set={"kinesis": {"put_fail_share": 0.05}})
    into = destination(twin, checkpoint=str(tmp_path / "c"))
    for kill in range(1, 9):
        process = start_process(sys.executable, "-c", CHILD, twin.endpoint_url, into)
        wanted = min(MANY - 1, len(rows(twin)) + 37 * kill)
        while len(rows(twin)) < wanted:
            assert process.poll() is None, process.communicate()
        process.kill()
        process.wait()
    sa.load(source(twin), into, **once())
    found = numbers_by_key(rows(twin))
    assert sum(len(numbers) for numbers in found.values()) >= MANY
    for key, numbers in found.items():
        expected = list(range(int(key.removeprefix("o-")), MANY, 40))
        assert sorted(set(numbers)) == expected, key
        # A repetition goes back to a place and then follows the order again.
        assert all(after <= before + 40 for before, after in pairwise(numbers)), key


@pytest.mark.parametrize(
    ("into", "options", "named"),
    [
        ("kinesis://out", {"mode": "mirror"}, "mode='append'"),
        ("kinesis://out", {"table": "x"}, "table='x'"),
        ("kinesis://out?colour=red", {}, "colour"),
        ("kinesis://out?shards=0", {}, "shards"),
        ("kinesis://hidden:hidden@out", {}, "credentials"),
        ("kinesis://out", {"on_bad_record": "quarantine"}, "checkpoint=FILE"),
        ("kafka://out?password=hidden", {}, "kafka://out"),
        ("kinesis://out", {"checkpoint": "x"}, "checkpoint="),
    ],
)
def test_what_cannot_work_is_named(into: str, options: dict[str, Any], named: str) -> None:
    with pytest.raises(sa.UsageError, match=named) as caught:
        sa.load(sa.dynamodb("orders"), into, **{"mode": "append", **options})
    assert "hidden" not in str(caught.value)


def test_the_command_line_loads_too(twin: Twin, table: str, tmp_path: Path) -> None:
    fill(twin, 5)
    program = str(Path(sys.executable).with_name("shardarrow"))
    command = [program, "load"]
    command += [f"dynamodb://orders?endpoint_url={twin.endpoint_url}&start=earliest"]
    command += [destination(twin, checkpoint=str(tmp_path / "c")), "--mode", "append", "--once"]
    command += ["--settle", "0.2", "--poll-interval", "0.02"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "Kinesis stream out (append): 5 changes" in shown.stdout + shown.stderr
    status = subprocess.run([program, "status", str(tmp_path / "c")], capture_output=True, text=True)
    assert status.returncode == 0 and "out" in status.stdout
