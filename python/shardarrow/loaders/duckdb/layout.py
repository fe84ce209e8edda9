"""Makes a target's columns fit what arrives: creates the table, adds columns, widens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shardarrow.errors import LoadError
from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.ledger import Ledger
from shardarrow.loaders.duckdb.sql import column_list, fold, quoted, rows
from shardarrow.loaders.duckdb.target import Target
from shardarrow.loaders.duckdb.types import Kind, converted, wider

_REBUILT = "_shardarrow_rebuilt"


class Layout:
    """The columns of one target, kept in step with the attributes that arrive.

    An attribute keeps its column for ever: the ledger remembers which it is.
    """

    def __init__(self, connection: Any, target: Target, ledger: Ledger, keys: Sequence[str]) -> None:
        self._connection = connection
        self._target = target
        self._ledger = ledger
        self._keys = keys
        self.names = ledger.names()
        """Attribute → column."""
        exists = catalog.exists(connection, target)
        self.kinds: dict[str, Kind] = catalog.columns(connection, target) if exists else {}
        """Column → its kind in the table now."""

    def fit(self, wanted: Mapping[str, Kind]) -> None:
        """Gives every attribute a column that holds its kind.

        Raises:
            LoadError: a column has a type that cannot take the attribute without changing values.
        """
        for attribute in wanted:
            self._name(attribute)
        kinds = {self.names[attribute]: kind for attribute, kind in wanted.items()}
        if not self.kinds:
            self._create(self._target.sql, kinds)
            self.kinds = kinds
            return
        self._widen(kinds)
        for column, kind in kinds.items():
            if column not in self.kinds:
                self._run(f"ALTER TABLE {self._target.sql} ADD COLUMN {quoted(column)} {kind.sql}")
                self.kinds[column] = kind

    def _name(self, attribute: str) -> None:
        """Chooses the attribute's column once: its own name, or with a number where DuckDB has that name."""
        if attribute in self.names:
            return
        taken = {fold(column) for column in self.names.values()}
        free = {fold(column): column for column in self.kinds if fold(column) not in taken}
        base, number = attribute or "empty", 2
        column = base
        while fold(column) in taken:
            column, number = f"{base}_{number}", number + 1
        self.names[attribute] = free.get(fold(column), column)
        self._ledger.add_name(attribute, self.names[attribute])

    def _widen(self, kinds: Mapping[str, Kind]) -> None:
        changed = {}
        for column, kind in kinds.items():
            both = wider(self.kinds.get(column, kind), kind)
            if both is None:
                raise LoadError(
                    f"column {column!r} of table {self._target.label} is {self.kinds[column].sql} "
                    f"but its values arrive as {kind.sql}: "
                    "load into another table=, or give the column that type"
                )
            if both != self.kinds.get(column, both):
                changed[column] = both
        if not changed:
            return
        # DuckDB neither changes the type of a key nor of any column while the table has an index.
        indexes = catalog.indexes(self._connection, self._target)
        has_key = any(self.names.get(key) in changed for key in self._keys)
        if indexes or has_key or not self._are_casts(changed):
            self._rebuild({**self.kinds, **changed}, indexes)
        else:
            self._alter(changed)
        self.kinds.update(changed)

    def _are_casts(self, changed: Mapping[str, Kind]) -> bool:
        """Whether no function is needed to change the columns.

        The log keeps what stands behind USING as an expression. DuckDB replays it after a crash before its
        functions are there (seen in 2.0): with one in it, the file could not be opened again.
        """
        return all(
            converted(column, self.kinds[column], kind) == f"CAST({column} AS {kind.sql})"
            for column, kind in changed.items()
        )

    def _alter(self, changed: Mapping[str, Kind]) -> None:
        for column, kind in changed.items():
            value = f"CAST({quoted(column)} AS {kind.sql})"
            self._run(f"ALTER TABLE {self._target.sql} ALTER {quoted(column)} TYPE {kind.sql} USING {value}")

    def _rebuild(self, kinds: Mapping[str, Kind], indexes: Sequence[str]) -> None:
        values = (converted(quoted(column), self.kinds[column], kind) for column, kind in kinds.items())
        rebuilt = self._target.beside(_REBUILT)
        self._create(rebuilt, kinds)
        self._run(f"INSERT INTO {rebuilt} SELECT {', '.join(values)} FROM {self._target.sql}")
        self._run(f"DROP TABLE {self._target.sql}")
        self._run(f"ALTER TABLE {rebuilt} RENAME TO {quoted(self._target.name)}")
        for statement in indexes:
            self._run(statement)

    def _create(self, table: str, kinds: Mapping[str, Kind]) -> None:
        lines = [f"{quoted(column)} {kind.sql}" for column, kind in kinds.items()]
        if self._keys:
            lines.append(f"PRIMARY KEY ({column_list([self.names[key] for key in self._keys])})")
        schema = f"{quoted(self._target.database)}.{quoted(self._target.schema)}"
        self._run(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        self._run(f"CREATE TABLE {table} ({', '.join(lines)})")

    def _run(self, sql: str) -> None:
        rows(self._connection, sql)
