"""The comparison that ends the demo: it must see every difference, and none where there is none."""

import json
from decimal import Decimal
from typing import Any

import pytest

from shardarrow.demo.compare import differences

LONG = "12345678901234567890123456789012345678"

SAME = {
    "text": ({"S": "李"}, "李"),
    "empty text": ({"S": ""}, ""),
    "an integer": ({"N": "7"}, 7),
    "a decimal": ({"N": "1.5"}, Decimal("1.500000000")),
    "a number as text": ({"N": LONG}, LONG),
    "an exponent": ({"N": "1E-130"}, "1E-130"),
    "false": ({"BOOL": False}, False),
    "binary": ({"B": b"\x00\xff"}, b"\x00\xff"),
    "a set in another order": ({"SS": ["a", "b"]}, ["b", "a"]),
    "a set of numbers": ({"NS": ["1", "2.5"]}, [Decimal("2.5"), Decimal("1.0")]),
    "a set of binaries": ({"BS": [b"a", b"b"]}, [b"b", b"a"]),
    "a list": ({"L": [{"S": "a"}, {"NULL": True}, {"N": LONG}]}, f'["a", null, {LONG}]'),
    "a map": ({"M": {"d": {"B": b"\x01"}, "s": {"SS": ["x", "y"]}}}, '{"d": "AQ==", "s": ["y", "x"]}'),
}
OTHER = {
    "text": ({"S": "a"}, "b"),
    "text for a number": ({"S": "7"}, 7),
    "the last digit": ({"N": LONG}, LONG[:-1] + "9"),
    "a rounded number": ({"N": "0.1"}, 0.1),
    "one for true": ({"BOOL": True}, 1),
    "text for binary": ({"B": b"a"}, "a"),
    "a smaller set": ({"SS": ["a", "b"]}, ["a"]),
    "a list in another order": ({"L": [{"S": "a"}, {"S": "b"}]}, '["b", "a"]'),
    "a rounded number in a map": ({"M": {"n": {"N": LONG}}}, '{"n": 1.2345678901234568e37}'),
    "a name more in a map": ({"M": {}}, '{"n": 1}'),
    "a null for a text": ({"L": [{"S": ""}]}, "[null]"),
}
IN_REST = {
    "null": {"NULL": True},
    "text": {"S": "a"},
    "a number": {"N": LONG},
    "a map": {"M": {"n": {"L": [{"N": "1"}, {"BOOL": False}]}}},
}


def compare(value: dict[str, Any], cell: Any) -> list[str]:
    return differences([{"id": {"S": "a"}, "x": value}], [{"id": "a", "x": cell, "_rest": None}])


@pytest.mark.parametrize("what", SAME)
def test_the_same_value_is_seen_as_equal(what: str) -> None:
    assert compare(*SAME[what]) == []


@pytest.mark.parametrize("what", OTHER)
def test_another_value_is_seen(what: str) -> None:
    assert len(compare(*OTHER[what])) == 1


@pytest.mark.parametrize("what", IN_REST)
def test_a_value_outside_its_column_is_in_rest(what: str) -> None:
    item = {"id": {"S": "a"}, "x": IN_REST[what]}
    row = {"id": "a", "x": None, "_rest": json.dumps({"x": IN_REST[what]})}
    assert differences([item], [row]) == []
    assert differences([item], [row | {"_rest": None}]) != []
    assert differences([item], [row | {"_rest": '{"x": {"S": "other"}}'}]) != []


def test_a_row_too_many_too_few_or_twice_is_seen() -> None:
    items = [{"id": {"S": "a"}}]
    assert differences(items, []) == ["'a' is missing in the mirror"]
    assert differences([], [{"id": "a"}]) == ["'a' is in the mirror but not in the table"]
    assert differences(items, [{"id": "a"}, {"id": "a"}]) == ["the mirror has 2 rows for 1 keys"]


def test_an_attribute_that_only_the_mirror_has_is_seen() -> None:
    items = [{"id": {"S": "a"}}]
    assert differences(items, [{"id": "a", "x": 0}]) == ["'a': x is only in the mirror"]
    assert differences(items, [{"id": "a", "_rest": '{"x": {"NULL": true}}'}]) == [
        "'a': x is only in the mirror"
    ]
