"""A number key whose values outgrow their column: one row in the mirror for each key, to the last digit."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

import shardarrow as sa
from services import Tables
from shardarrow.demo.emulator import Emulator

# Each step widens the key's column: 64 bits, decimal, text.
STEPS = [
    ["1", "0", "-7", str(2**63 - 1)],
    ["1.5", "-0.000000001", "12345678901234567890.25"],
    ["1.2345678901234567890123456789012345678", "-" + "9" * 38, "1E-130", "9" * 38 + "E+88"],
]
TYPES = ["BIGINT", "DECIMAL(38,9)", "VARCHAR"]

Mirror = Callable[[], dict[str, tuple[str, str | None]]]


@pytest.fixture
def table(tables: Tables) -> str:
    return tables.make(keys={"number": "N"})


@pytest.fixture
def mirror(emulator: Emulator, table: str, tmp_path: Path) -> Mirror:
    """Loads what there is, and gives the mirror: canonical key → (its text in the mirror, value)."""
    source = sa.dynamodb(table, start="earliest", endpoint_url=emulator.endpoint_url)
    file = tmp_path / "shop.duckdb"

    def mirror() -> dict[str, tuple[str, str | None]]:
        sa.load(source, f"duckdb:///{file}", table="orders", follow=False, settle=0.2)
        with duckdb.connect(str(file), read_only=True) as connection:
            found = connection.execute('SELECT "number", "value" FROM orders').fetchall()
            [(kind,)] = connection.execute(
                "SELECT data_type FROM duckdb_columns() "
                "WHERE table_name = 'orders' AND column_name = 'number'"
            ).fetchall()
        assert len({canonical(key) for key, _ in found}) == len(found), f"a key has two rows: {found}"
        return {"type": (kind, None)} | {canonical(key): (str(key), value) for key, value in found}

    return mirror


def canonical(number: object) -> str:
    """A number as DynamoDB writes it."""
    text = format(Decimal(str(number)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def item(number: str, value: str) -> dict[str, dict[str, str]]:
    return {"number": {"N": number}, "value": {"S": value}}


def delete(tables: Tables, table: str, number: str) -> None:
    """The emulator finds an item only under the canonical form of its key."""
    tables.dynamodb.delete_item(TableName=table, Key={"number": {"N": number}})


def test_one_row_for_each_key_while_its_column_widens(table: str, tables: Tables, mirror: Mirror) -> None:
    expected: dict[str, str] = {}
    for step, (numbers, kind) in enumerate(zip(STEPS, TYPES, strict=True)):
        for number in numbers:
            tables.put(table, item(number, f"made in step {step}"))
            expected[canonical(number)] = f"made in step {step}"
        assert_equal(mirror(), expected, kind)
        # Each key there is changes under the type it has now; one goes, and comes back in the next step.
        for number in expected:
            tables.put(table, item(number, f"changed in step {step}"))
            expected[number] = f"changed in step {step}"
        gone = canonical(STEPS[0][step])
        delete(tables, table, gone)
        del expected[gone]
        assert_equal(mirror(), expected, kind)
    for number in expected:
        delete(tables, table, number)
    assert_equal(mirror(), {}, "VARCHAR")


def test_all_steps_in_one_load(table: str, tables: Tables, mirror: Mirror) -> None:
    numbers = [number for step in STEPS for number in step]
    for value in ("made", "changed"):
        tables.put(table, *(item(number, value) for number in numbers))
    for number in numbers[::3]:
        delete(tables, table, canonical(number))
    expected = {canonical(number): "changed" for number in numbers if number not in numbers[::3]}
    assert_equal(mirror(), expected, "VARCHAR")


def assert_equal(found: dict[str, tuple[str, str | None]], expected: dict[str, str], kind: str) -> None:
    """The same keys with the same values; text keys in DynamoDB's own form."""
    assert found.pop("type") == (kind, None)
    assert {key: value for key, (_, value) in found.items()} == expected
    if kind == "VARCHAR":
        assert {key: text for key, (text, _) in found.items()} == {key: key for key in expected}
