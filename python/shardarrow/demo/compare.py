"""Whether a mirror's rows are the items of its table, every attribute and every digit."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any

from .orders import Item, Value

Row = dict[str, Any]


def differences(items: list[Item], rows: list[Row], key: str = "id") -> list[str]:
    """Compare every item with its row, and every row with its item; each difference is a sentence."""
    by_key = {row[key]: row for row in rows}
    found = []
    if len(by_key) != len(rows):
        found.append(f"the mirror has {len(rows)} rows for {len(by_key)} keys")
    for item in items:
        name = item[key]["S"]
        row = by_key.pop(name, None)
        if row is None:
            found.append(f"{name!r} is missing in the mirror")
        else:
            found += [f"{name!r}: {problem}" for problem in row_differences(item, row)]
    return found + [f"{name!r} is in the mirror but not in the table" for name in by_key]


def row_differences(item: Item, row: Row) -> list[str]:
    """Where an item and its row differ. A value that is not in its column is in `_rest`, as DynamoDB JSON."""
    cells = {name: cell for name, cell in row.items() if cell is not None and name != "_rest"}
    rest = json.loads(row["_rest"]) if row.get("_rest") else {}
    found = []
    for name, value in item.items():
        if name in cells:
            cell = cells.pop(name)
            equal = same(value, cell)
        else:
            cell = rest.pop(name, None)
            equal = cell is not None and same_json(value, cell)
        if not equal:
            found.append(f"{name} is {value} in the table and {cell!r} in the mirror")
    return found + [f"{name} is only in the mirror" for name in (*cells, *rest)]


def same(value: Value, cell: Any) -> bool:
    """Whether a column holds this value: numbers to the last digit, sets in any order, nested as JSON."""
    [(kind, content)] = value.items()
    match kind:
        case "N":
            return not isinstance(cell, float) and number(cell) == Decimal(content)
        case "NS":
            return sorted(map(number, cell)) == sorted(map(Decimal, content))
        case "SS" | "BS":
            return sorted(cell) == sorted(content)
        case "M" | "L":
            return same_nested(value, json.loads(cell, parse_int=Decimal, parse_float=Decimal))
        case _:
            return type(cell) is type(content) and bool(cell == content)


def same_nested(value: Value, plain: Any) -> bool:
    """Whether plain JSON says this value: binary as base64, sets as arrays."""
    [(kind, content)] = value.items()
    match kind:
        case "M":
            return content.keys() == plain.keys() and all(same_nested(content[k], plain[k]) for k in content)
        case "L":
            return len(content) == len(plain) and all(map(same_nested, content, plain))
        case "NULL":
            return plain is None
        case "B":
            return bool(plain == base64.b64encode(content).decode())
        case "BS":
            return sorted(plain) == sorted(base64.b64encode(part).decode() for part in content)
        case _:
            return same(value, plain)


def same_json(value: Value, said: Any) -> bool:
    """Whether DynamoDB JSON says this value."""
    [(kind, content)] = value.items()
    if not isinstance(said, dict) or list(said) != [kind]:
        return False
    match kind:
        case "M":
            return content.keys() == said[kind].keys() and all(
                same_json(content[k], said[kind][k]) for k in content
            )
        case "L":
            return len(content) == len(said[kind]) and all(map(same_json, content, said[kind]))
        case "NULL":
            return said[kind] is True
        case _:
            return same_nested(value, said[kind])


def number(cell: Any) -> Decimal:
    """The number in a cell that may be an integer, a decimal or text."""
    return Decimal(cell)
