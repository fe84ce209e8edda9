"""Changes written into a Kinesis stream in DynamoDB's own form: what is read back is what was written."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import shardarrow as sa
from changes import Changes
from mortal import Load, mirror_differences
from services import Twin

READING: dict[str, Any] = {"settle": 0.2, "poll_interval": 0.05}
SAME = ("_op", "_time", "_event_id", "_ttl", "keys", "new_image", "old_image")
"""What a change says, besides its place in the stream."""


class Puts(Changes):
    """Every change is of a whole item: the twin knows no UpdateItem."""

    def _update(self, progress: float) -> None:
        self._put_and_delete(1, progress)


class Orders:
    """A table with a stream, whose changes are to go into the Kinesis stream `copy`."""

    def __init__(self, twin: Twin) -> None:
        self.twin, self.dynamodb = twin, twin.client("dynamodb")
        self.dynamodb.create_table(
            TableName="orders",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
        self._changes = Puts(self.dynamodb, "orders", keys=60, total=400, seed=11)

    def write(self, count: int) -> None:
        self._changes.write(count)

    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.dynamodb.scan(TableName="orders", ConsistentRead=True)["Items"]
        return found

    def changes(self, **options: Any) -> pa.Table:
        source = sa.dynamodb("orders", start="earliest", endpoint_url=self.twin.endpoint_url, **options)
        return pa.table(source.read(**READING))

    def copy(self, **options: Any) -> sa.Source:
        return sa.kinesis("copy", format="dynamodb", endpoint_url=self.twin.endpoint_url, **options)

    def load(self, path: Path, **options: Any) -> Any:
        source = sa.dynamodb("orders", start="earliest", images="json", endpoint_url=self.twin.endpoint_url)
        return sa.load(source, self.destination(path), mode="append", follow=False, **READING, **options)

    def destination(self, path: Path) -> str:
        return (
            f"kinesis://copy?format=dynamodb&changes_of=orders&create=true&shards=3&checkpoint={path}"
            f"&endpoint_url={self.twin.endpoint_url}"
        )


@pytest.fixture
def orders(twin: Twin) -> Orders:
    return Orders(twin)


def by_event(table: pa.Table) -> dict[str, dict[str, Any]]:
    """The rows by the change they are."""
    return {row["_event_id"]: row for row in table.to_pylist()}


def test_what_is_read_back_is_what_was_written(orders: Orders, tmp_path: Path) -> None:
    """Every attribute type, every digit, and the images to the letter."""
    orders.write(400)
    orders.load(tmp_path / "copy.ckpt")
    before, after = orders.changes(images="json"), pa.table(orders.copy(images="json").read(**READING))
    assert before.num_rows == after.num_rows > 300
    said = [
        {row["_event_id"]: [row[name] for name in SAME] for row in t.to_pylist()} for t in (before, after)
    ]
    assert said[0] == said[1]

    # Not the one whose column depends on which shard's record comes first.
    columns = [name for name in orders.changes().column_names if not name.startswith(("_", "id", "mixed"))]
    before = orders.changes(columns=columns)
    after = pa.table(orders.copy(columns=columns).read(**READING))
    assert set(before.column_names) == set(after.column_names)
    columns = [name for name in before.column_names if name not in ("_shard", "_sequence")]
    assert before.schema.field("price").type == after.schema.field("price").type == pa.string()
    assert by_event(before.select(columns)) == by_event(after.select(columns))


def test_changes_of_one_item_keep_their_order(orders: Orders, tmp_path: Path) -> None:
    orders.write(400)
    orders.load(tmp_path / "copy.ckpt")
    written = orders.twin.control("kinesis_history", stream="copy")["records"]
    assert len({record["shard"] for record in written}) == 3
    assert all(len(record["partition_key"]) == 32 for record in written)
    orders_of_keys: list[dict[str, list[str]]] = []
    for table in (orders.changes(images="json"), pa.table(orders.copy(images="json").read(**READING))):
        found: dict[str, list[str]] = {}
        rows = sorted(table.to_pylist(), key=lambda row: (row["_shard"], int(row["_sequence"])))
        for row in rows:
            found.setdefault(row["keys"], []).append(row["_event_id"])
        orders_of_keys.append(found)
    assert orders_of_keys[0] == orders_of_keys[1]


def test_a_mirror_of_the_copy_is_the_table(orders: Orders, tmp_path: Path) -> None:
    """Also of records that a load wrote twice, because it was killed before its checkpoint was saved."""
    file, path = tmp_path / "shop.duckdb", tmp_path / "copy.ckpt"
    for _ in range(2):
        orders.write(100)
        # Another moment for each: the table's stream tells whole seconds.
        orders.twin.control("advance", ms=2000)
        orders.load(path)
    path.unlink()
    orders.load(path)
    copied = orders.twin.control("kinesis_history", stream="copy")["records"]
    assert len(copied) == 2 * orders.changes().num_rows
    source = orders.copy(changes_of="orders", keys={"id": "S"})
    sa.load(source, f"duckdb:///{file}", table="orders", mode="mirror", follow=False, **READING)
    load = Load("", file, table="orders", mode="mirror", start=print)
    assert mirror_differences(load, orders.items()) == []


def test_the_command_line_writes_changes(orders: Orders, tmp_path: Path) -> None:
    orders.write(25)
    program = Path(sys.executable).with_name("shardarrow")
    source = f"dynamodb://orders?start=earliest&images=json&endpoint_url={orders.twin.endpoint_url}"
    command = [program, "load", source, orders.destination(tmp_path / "c"), "--mode", "append", "--once"]
    run = subprocess.run([*command, "--settle", "0.2"], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert pa.table(orders.copy().read(**READING)).num_rows == orders.changes().num_rows


def test_images_as_json_are_written_as_rows_too(orders: Orders, tmp_path: Path) -> None:
    """Without a format a record is the row as JSON; its key is the item's."""
    orders.write(50)
    table = orders.changes(images="json")
    where = {"endpoint_url": orders.twin.endpoint_url}
    with sa.KinesisWriter("rows", create=True, **where) as writer:
        writer.write(table)
    written = pa.table(sa.kinesis("rows", format="json", **where).read(**READING))
    keys = dict(zip(written["_event_id"].to_pylist(), written["_partition_key"].to_pylist(), strict=True))
    items = {row["_event_id"]: row["keys"] for row in table.to_pylist()}
    assert len(set(keys.values())) == len(set(items.values()))
    assert len({(keys[event], items[event]) for event in items}) == len(set(items.values()))
    assert json.loads(written["new_image"].drop_null()[0].as_py())


def test_what_is_no_change_is_an_error_with_its_row(orders: Orders) -> None:
    orders.write(25)
    where = {"endpoint_url": orders.twin.endpoint_url}
    table = sa.dynamodb("orders", images="json", **where).read()
    with sa.KinesisWriter("copy", create=True, format="dynamodb", **where) as writer:
        with pytest.raises(sa.BadRecordError, match="row 0: it is an item of a snapshot"):
            writer.write(table)
        with pytest.raises(sa.UsageError, match=r'images="json" gives, but the data has _op, _time'):
            writer.write(orders.changes())
        writer.write(orders.changes(images="json"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"format": "avro"}, "format"),
        ({"format": "dynamodb", "data": "x"}, "data='x'"),
        ({"changes_of": "orders"}, 'format="dynamodb"'),
    ],
)
def test_options_that_cannot_work_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(sa.UsageError, match=named):
        sa.KinesisWriter("copy", **options)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (sa.dynamodb("orders", start="earliest"), 'images="json"'),
        (sa.dynamodb("orders", images="json"), 'start="earliest"'),
        (sa.kinesis("clicks"), 'images="json"'),
    ],
)
def test_a_load_that_cannot_work_is_an_error_at_once(source: sa.Source, named: str) -> None:
    with pytest.raises(sa.UsageError, match=named):
        sa.load(source, "kinesis://copy?format=dynamodb", mode="append")
