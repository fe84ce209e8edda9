"""The table a loader fills: its name, and what DuckDB knows of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from shardarrow.errors import LoadError, UsageError
from shardarrow.loaders.duckdb.sql import fold, quoted, rows
from shardarrow.loaders.duckdb.types import Kind, kind_of

# A part in double quotes, where a doubled quote stands for one; or anything without dots and quotes.
_PART = r'(?:"(?:[^"]|"")+"|[^".]+)'
_NAME = re.compile(rf"{_PART}(?:\.{_PART}){{0,2}}")


@dataclass(frozen=True)
class Target:
    """A table's full name in one database."""

    database: str
    schema: str
    name: str

    @property
    def sql(self) -> str:
        """The name as SQL."""
        return ".".join(map(quoted, (self.database, self.schema, self.name)))

    @property
    def label(self) -> str:
        """The name for sentences, as it may be typed."""
        parts = (self.name,) if self.schema == "main" else (self.schema, self.name)
        return ".".join(part if re.fullmatch(r"\w+", part) else quoted(part) for part in parts)

    def beside(self, name: str) -> str:
        """SQL of another table in the same schema."""
        return ".".join(map(quoted, (self.database, self.schema, name)))

    def is_called(self, schema: str, name: str) -> bool:
        """Whether the table of that name is this one."""
        return (fold(schema), fold(name)) == (fold(self.schema), fold(self.name))


def parse_name(text: str) -> tuple[str, ...]:
    """The parts of ``name``, ``schema.name`` or ``database.schema.name``; ``"a.b"`` in quotes is one part.

    Raises:
        UsageError: it is not such a name.
    """
    if not (_NAME.fullmatch(text) and text.isprintable()):
        raise UsageError(
            f"table {text!r} is not a table's name: write name or schema.name, with double quotes "
            "around a part that contains a dot, such as '\"my.table\"'"
        )
    return tuple(
        part[1:-1].replace('""', '"') if part.startswith('"') else part for part in re.findall(_PART, text)
    )


def locate(connection: Any, parts: tuple[str, ...]) -> Target:
    """The target those parts mean on this connection, spelled as the database spells it."""
    [(database, schema)] = rows(connection, "SELECT current_database(), current_schema()")
    defaults = (database, schema)[: 3 - len(parts)]
    wanted = Target(*(*defaults, *parts))
    known = rows(connection, "SELECT database_name, schema_name, table_name FROM duckdb_tables()")
    for row in known:
        if tuple(map(fold, row)) == tuple(map(fold, (wanted.database, wanted.schema, wanted.name))):
            return Target(*row)
    return wanted


def exists(connection: Any, target: Target) -> bool:
    """Whether the table is there.

    Raises:
        LoadError: a view has its name.
    """
    place = [target.database, target.schema, target.name]
    where = "WHERE database_name = ? AND schema_name = ? AND {}_name = ?"
    if rows(connection, f"FROM duckdb_tables() {where.format('table')}", place):
        return True
    if rows(connection, f"FROM duckdb_views() {where.format('view')}", place):
        raise LoadError(f"{target.label} is a view: choose another table=")
    return False


def is_empty(connection: Any, target: Target) -> bool:
    """Whether the table has no rows."""
    return not rows(connection, f"SELECT 1 FROM {target.sql} LIMIT 1")


def columns(connection: Any, target: Target) -> dict[str, Kind]:
    """The table's columns in order."""
    table = connection.sql(f"FROM {target.sql} LIMIT 0")
    return {name: kind_of(type_, name) for name, type_ in zip(table.columns, table.types, strict=True)}


def indexes(connection: Any, target: Target) -> list[str]:
    """The statements that made the indexes somebody added to the table."""
    known = rows(
        connection,
        "SELECT sql FROM duckdb_indexes() WHERE database_name = ? AND schema_name = ? AND table_name = ?",
        [target.database, target.schema, target.name],
    )
    return [sql for (sql,) in known]
