"""SQL as text, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ASCII_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})


def quoted(identifier: str) -> str:
    """The identifier as SQL, whatever it contains."""
    return '"' + identifier.replace('"', '""') + '"'


def column_list(columns: Sequence[str]) -> str:
    """The columns as SQL, separated by commas."""
    return ", ".join(map(quoted, columns))


def literal(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def fold(name: str) -> str:
    """What DuckDB compares of a name: it ignores the case of ASCII letters and of no others."""
    return name.translate(_ASCII_LOWER)


def rows(connection: Any, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Executes the statement and takes all it gives.

    A result that is not taken to its end keeps the connection from any other work.
    """
    result: list[tuple[Any, ...]] = connection.execute(statement, values).fetchall()
    return result


def changed(connection: Any, statement: str) -> int:
    """Executes it and gives the number of rows it changed."""
    return int(rows(connection, statement)[0][0])
