"""Values of Arrow columns as text and as JSON, every digit kept; lengths of time."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

# Marks of text columns that hold something else: JSON, and numbers too long for other columns.
_JSON_MARKS = {(b"shardarrow.json", b"true"), (b"shardarrow.number", b"true")}


def plain(value: Any) -> str:
    """The value as text for a cell or a line; nothing for null."""
    match value:
        case None:
            return ""
        case str():
            return value
        case dict() | list():
            return as_json(value)
        case _:
            return as_json(value).strip('"')


def as_json(value: Any) -> str:
    """The value as JSON: numbers to the last digit, binary as base64, moments in UTC."""
    match value:
        case Mapping():
            fields = (f"{json.dumps(str(name))}: {as_json(field)}" for name, field in value.items())
            return f"{{{', '.join(fields)}}}"
        case list() | tuple():
            return f"[{', '.join(map(as_json, value))}]"
        case Decimal():
            return canonical(value)
        case bytes():
            return f'"{base64.b64encode(value).decode()}"'
        case datetime.datetime():
            return f'"{value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")}"'
        case _:
            return json.dumps(value, ensure_ascii=False)


def canonical(number: Decimal) -> str:
    """As DynamoDB writes it: no exponent, no trailing zeros."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def span(seconds: float) -> str:
    """A length of time in its largest unit of which there are two or more."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def json_columns(schema: Any) -> set[str]:
    """The names of text columns (of a pyarrow schema) whose text is JSON already."""
    return {field.name for field in schema if _is_json(field)}


def _is_json(field: Any) -> bool:
    marked = bool(_JSON_MARKS & set((field.metadata or {}).items()))
    return marked or getattr(field.type, "extension_name", "") == "arrow.json"


def json_lines(batch: Any) -> Iterator[str]:
    """One JSON object per row of a pyarrow batch, without what is null; JSON columns as what they say."""
    raw = json_columns(batch.schema)
    for row in batch.to_pylist():
        fields = (
            f"{json.dumps(name, ensure_ascii=False)}: {value if name in raw else as_json(value)}"
            for name, value in row.items()
            if value is not None
        )
        yield f"{{{', '.join(fields)}}}"
