"""The rows of one write in a temporary table, and what an ordered channel does with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shardarrow.loaders.base import Written
from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.arrivals import Arrival
from shardarrow.loaders.duckdb.layout import Layout
from shardarrow.loaders.duckdb.sql import changed, column_list, quoted, rows
from shardarrow.loaders.duckdb.target import Target
from shardarrow.loaders.duckdb.types import Kind, converted

STAGED = '"temp"."main"."shardarrow_staged"'

Extra = tuple[str, str, Callable[[Arrival], str]]
"""One more column of the staged rows: its name, its type, and the SQL of its value."""


def append(connection: Any, target: Target, layout: Layout, arrivals: Sequence[Arrival]) -> Written:
    """Makes every row of the batches a row of the target."""
    inserted = 0
    for arrival in arrivals:
        columns = [layout.names[name] for name in arrival.kinds]
        values = [arrival.value(name, layout.kinds[layout.names[name]]) for name in arrival.kinds]
        with arrival.readable():
            inserted += changed(
                connection,
                f"INSERT INTO {target.sql} ({column_list(columns)}) "
                f"SELECT {', '.join(values)} FROM {arrival.view}",
            )
    return Written(inserted=inserted)


def stage(
    connection: Any,
    layout: Layout,
    arrivals: Sequence[Arrival],
    attributes: Sequence[str],
    extra: Sequence[Extra] = (),
) -> None:
    """Puts the rows of all batches into a temporary table.

    Its columns are ``a0``, ``a1``, … for the attributes in order, the row's ``place``, whether the
    key is ``removed``, the ``epoch``, and the extra ones.
    """
    kinds = [layout.kinds[layout.names[attribute]] for attribute in attributes]
    columns = [f"a{place} {kind.sql}" for place, kind in enumerate(kinds)]
    columns += [
        "place BIGINT",
        "removed BOOLEAN",
        "epoch BIGINT",
        *(f"{name} {sql}" for name, sql, _ in extra),
    ]
    rows(connection, f"CREATE OR REPLACE TEMP TABLE shardarrow_staged ({', '.join(columns)})")
    before = 0
    for arrival in arrivals:
        values = [arrival.value(name, kind) for name, kind in zip(attributes, kinds, strict=True)]
        values += [f"{before} + row_number() OVER ()", arrival.removed, str(arrival.epoch)]
        values += [value(arrival) for _, _, value in extra]
        with arrival.readable():
            before += changed(
                connection, f"INSERT INTO {STAGED} SELECT {', '.join(values)} FROM {arrival.view}"
            )


def keep_last(connection: Any, keys: Sequence[str]) -> None:
    """Leaves of every key only the last row staged. `keys` are staged columns."""
    rows(
        connection,
        f"DELETE FROM {STAGED} WHERE place NOT IN "
        f"(SELECT max(place) FROM {STAGED} GROUP BY {', '.join(keys)})",
    )


def merge(
    connection: Any, target: Target, layout: Layout, attributes: Sequence[str], keys: Sequence[str]
) -> Written:
    """Brings the staged rows, one for each key, into the mirror.

    A row is replaced whole. Deleting and inserting is several times faster here than MERGE or
    UPDATE, which rewrite every column of the row groups they touch.
    """
    same = " AND ".join(
        f"mirror.{column_list([layout.names[key]])} = staged.a{attributes.index(key)}" for key in keys
    )
    delete = f"DELETE FROM {target.sql} AS mirror USING {STAGED} AS staged WHERE {same} AND"
    columns = column_list([layout.names[attribute] for attribute in attributes])
    values = ", ".join(f"a{place}" for place in range(len(attributes)))
    deleted = changed(connection, f"{delete} staged.removed")
    updated = changed(connection, f"{delete} NOT staged.removed")
    upserted = changed(
        connection, f"INSERT INTO {target.sql} ({columns}) SELECT {values} FROM {STAGED} WHERE NOT removed"
    )
    return Written(inserted=upserted - updated, updated=updated, deleted=deleted)


def keep_pace(connection: Any, table: Target, kinds: Mapping[str, Kind]) -> None:
    """Gives columns of a table beside the mirror the kinds they have there now.

    The table is written anew: DuckDB's log keeps what stands behind ALTER … USING as an expression, and
    replays it after a crash before its functions are there.
    """
    known = catalog.columns(connection, table)
    if all(known[column] == kind for column, kind in kinds.items()):
        return
    values = (
        f"{converted(quoted(column), kind, kinds.get(column, kind))} AS {quoted(column)}"
        for column, kind in known.items()
    )
    rows(connection, f"CREATE OR REPLACE TABLE {table.sql} AS SELECT {', '.join(values)} FROM {table.sql}")
