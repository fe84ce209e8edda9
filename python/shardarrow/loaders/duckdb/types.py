"""Column types of DuckDB: which of two is wider, and the SQL that turns one into the other.

Only numbers widen, int64 → decimal(38, 9) → text, also inside lists and structs; structs
gain fields. A number that becomes text takes DynamoDB's canonical form (``1.5``, never
``1.500000000``), so a key means the same row before and after.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from shardarrow.errors import LoadError
from shardarrow.loaders.duckdb.sql import fold, literal, quoted

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_FLOATS = ("FLOAT", "DOUBLE")
_NUMBER_LADDER = (*_INTEGERS, "DECIMAL(38,9)", "VARCHAR")


@dataclass(frozen=True)
class Kind:
    """A column's type: a name, and for lists and structs the types inside.

    ``name`` is SQL except for ``LIST`` (one unnamed member) and ``STRUCT`` (named members).
    """

    name: str
    members: tuple[tuple[str, Kind], ...] = ()

    @property
    def sql(self) -> str:
        """The type as SQL."""
        if self.name == "LIST":
            return f"{self.members[0][1].sql}[]"
        if self.name == "STRUCT" and self.members:
            fields = ", ".join(f"{quoted(field)} {kind.sql}" for field, kind in self.members)
            return f"STRUCT({fields})"
        return self.name


NULL = Kind('"NULL"')
TEXT = Kind("VARCHAR")
KEYS = {"S": TEXT, "N": Kind("BIGINT"), "B": Kind("BLOB")}


def kind_of(type_: Any, column: str) -> Kind:
    """The kind of a ``DuckDBPyType``.

    Raises:
        LoadError: a struct has fields that differ only in case. DuckDB reads the wrong one of
            them without a word, so they are refused.
    """
    if type_.id == "list":
        return Kind("LIST", (("", kind_of(type_.children[0][1], column)),))
    if type_.id != "struct":
        return Kind(str(type_))
    _refuse_twins([name for name, _ in type_.children], column)
    return Kind("STRUCT", tuple((name, kind_of(child, column)) for name, child in type_.children))


def _refuse_twins(fields: Iterable[str], column: str) -> None:
    seen: dict[str, str] = {}
    for field in fields:
        twin = seen.setdefault(fold(field), field)
        if twin is not field:
            raise LoadError(
                f"attribute {column!r} has fields {twin!r} and {field!r}, which DuckDB cannot tell apart: "
                "load it with nested='json'"
            )


def wider(one: Kind, other: Kind) -> Kind | None:
    """The narrowest kind that holds the values of both, or None where nothing but numbers would do."""
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    for ladder in (_NUMBER_LADDER, _FLOATS):
        if one.name in ladder and other.name in ladder:
            return Kind(max(one.name, other.name, key=ladder.index))
    if one.name == other.name == "LIST":
        inside = wider(one.members[0][1], other.members[0][1])
        return inside and Kind("LIST", (("", inside),))
    if one.name == other.name == "STRUCT":
        return _wider_struct(one, other)
    return one if {one.name, other.name} == {"VARCHAR", "JSON"} else None


def _wider_struct(one: Kind, other: Kind) -> Kind | None:
    fields = {fold(name): (name, kind) for name, kind in one.members}
    for name, kind in other.members:
        known, narrow = fields.get(fold(name), (name, NULL))
        both = wider(narrow, kind)
        if both is None:
            return None
        fields[fold(name)] = (known, both)
    return Kind("STRUCT", tuple(fields.values()))


def converted(value: str, source: Kind, target: Kind, depth: int = 0) -> str:
    """SQL that turns the expression `value` of kind `source` into `target`, as wide or wider."""
    if source == target:
        return value
    if source == NULL:
        return f"CAST(NULL AS {target.sql})"
    if target == TEXT and source.name.startswith("DECIMAL"):
        return _canonical(value, source)
    if target.name == "LIST":
        item = f"item{depth}"
        inside = converted(item, source.members[0][1], target.members[0][1], depth + 1)
        return f"list_transform({value}, lambda {item}: {inside})"
    if target.name == "STRUCT":
        return _converted_struct(value, source, target, depth)
    return f"CAST({value} AS {target.sql})"


def _canonical(value: str, source: Kind) -> str:
    text = f"CAST({value} AS VARCHAR)"
    return text if source.name.endswith(",0)") else f"rtrim(rtrim({text}, '0'), '.')"


def _converted_struct(value: str, source: Kind, target: Kind, depth: int) -> str:
    present = {fold(name): (name, kind) for name, kind in source.members}
    fields = []
    for name, kind in target.members:
        if fold(name) in present:
            known, narrow = present[fold(name)]
            field = converted(f"struct_extract({value}, {literal(known)})", narrow, kind, depth)
        else:
            field = f"CAST(NULL AS {kind.sql})"
        fields.append(f"{quoted(name)} := {field}")
    return f"CASE WHEN {value} IS NULL THEN NULL ELSE struct_pack({', '.join(fields)}) END"
