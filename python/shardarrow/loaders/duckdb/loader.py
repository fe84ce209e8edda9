"""The DuckDB loader: one transaction per write, with the data and the state that covers it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from shardarrow.errors import LoadError
from shardarrow.loaders.base import Key, State, Written
from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.arrivals import Arrival, merged_kinds
from shardarrow.loaders.duckdb.destination import destination, first_line, library
from shardarrow.loaders.duckdb.layout import Layout
from shardarrow.loaders.duckdb.ledger import Entry, Ledger
from shardarrow.loaders.duckdb.sql import changed, column_list, literal, rows
from shardarrow.loaders.duckdb.sweep import Sweep, forget
from shardarrow.loaders.duckdb.target import Target, locate
from shardarrow.loaders.duckdb.types import KEYS
from shardarrow.loaders.snapshot import Snapshot

_RETRY_EVERY = 0.05
_STAGED = '"temp"."main"."shardarrow_staged"'

Result = TypeVar("Result")


class DuckDBLoader:
    """Fills one table of a DuckDB database.

    Args:
        where: ``duckdb:///shop.duckdb``, ``duckdb:////data/shop.duckdb`` or an open connection.
        table: the parts of the table's name.
        mode: ``mirror`` (the table equals the source) or ``append`` (every change is a row).
        lock_timeout: seconds to wait for a file that somebody else holds.
    """

    def __init__(self, where: Any, table: tuple[str, ...], mode: str, lock_timeout: float = 30.0) -> None:
        self.mode = mode
        self._destination = destination(where)
        self._table = table
        self._lock_timeout = lock_timeout
        self._writer = uuid.uuid4().hex
        self._entry: Entry | None = None

    @property
    def label(self) -> str:
        """The table and its destination, for sentences."""
        return f"table {Target('', *('main', *self._table)[-2:]).label} in {self._destination.label}"

    def resume(self) -> str | None:
        """The checkpoint saved with the table; see `Loader`."""
        if not self._destination.is_new:
            self._entry = self._patiently(self._existing)
        return self._entry.checkpoint if self._entry else None

    def write(self, batches: Sequence[Any], state: State, keys: Sequence[Key]) -> Written:
        """One transaction with the batches and the state; see `Loader`."""
        return self._patiently(lambda connection: self._transact(connection, batches, state, keys))

    def close(self) -> None:
        """Nothing is held between two writes."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        return []

    def _patiently(self, work: Callable[[Any], Result]) -> Result:
        """Does the work on a connection, again where another transaction was in its way.

        The work is one transaction, or only reads: after a conflict nothing of it remains.
        """
        until = time.monotonic() + self._lock_timeout
        errors = library()
        while True:
            try:
                with self._destination.connected(until) as connection:
                    return work(connection)
            except errors.TransactionException as error:
                if time.monotonic() >= until:
                    raise LoadError(f"cannot write {self.label}: {first_line(error)}") from error
            except errors.Error as error:
                raise LoadError(f"cannot write {self.label}: {first_line(error)}") from error
            time.sleep(_RETRY_EVERY)

    def _existing(self, connection: Any) -> Entry | None:
        target = locate(connection, self._table)
        ledger = Ledger(connection, target)
        entry = ledger.entry()
        if entry is None:
            self._require_empty(connection, target)
        else:
            self._require_same(connection, target, ledger, entry)
        return entry

    def _require_empty(self, connection: Any, target: Target) -> None:
        if catalog.exists(connection, target) and not catalog.is_empty(connection, target):
            raise LoadError(
                f"{self.label} has rows but there is no checkpoint for it in _shardarrow_checkpoints: "
                "choose another table=, or empty the table to load it from the start"
            )

    def _require_same(self, connection: Any, target: Target, ledger: Ledger, entry: Entry) -> None:
        if entry.mode != self.mode:
            raise LoadError(
                f"{self.label} was loaded with mode={entry.mode!r}: go on with it, or choose another table="
            )
        # An append table is made with its first batch; until then its columns are not known.
        if ledger.names() and not catalog.exists(connection, target):
            raise LoadError(
                f"_shardarrow_checkpoints has a checkpoint for {self.label} but the table is gone: "
                "restore the table, or start again after DELETE FROM _shardarrow_checkpoints "
                f"WHERE (table_schema, table_name) = ({literal(entry.schema)}, {literal(entry.name)})"
            )

    def _transact(
        self, connection: Any, batches: Sequence[Any], state: State, keys: Sequence[Key]
    ) -> Written:
        rows(connection, "BEGIN")
        try:
            target = locate(connection, self._table)
            ledger = Ledger(connection, target)
            ledger.require(self._entry)
            if self._entry is None:
                self._require_empty(connection, target)
                ledger.create()
                forget(connection, target)
            written = self._load(connection, target, ledger, batches, state, keys)
            entry = self._save(ledger, target, state, sum(batch.num_rows for batch in batches))
            self._commit(connection)
        except BaseException:
            self._roll_back(connection)
            raise
        self._entry = entry
        return written

    def _commit(self, connection: Any) -> None:
        rows(connection, "COMMIT")

    def _roll_back(self, connection: Any) -> None:
        try:
            rows(connection, "ROLLBACK")
        except library().Error:
            pass  # There is no transaction any more; the error on its way up says why.

    def _save(self, ledger: Ledger, target: Target, state: State, changes: int) -> Entry:
        now = time.time()
        seen = self._entry or Entry(target.schema, target.name, self.mode, "", 0, "", 0, now)
        entry = replace(
            seen,
            checkpoint=state.checkpoint,
            changes=seen.changes + changes,
            writer=self._writer,
            writes=seen.writes + 1,
            saved_at=now,
        )
        ledger.save(entry)
        ledger.add_gaps(state.gaps, now)
        ledger.add_quarantined(state.quarantined, now)
        return entry

    def _load(
        self,
        connection: Any,
        target: Target,
        ledger: Ledger,
        batches: Sequence[Any],
        state: State,
        keys: Sequence[Key],
    ) -> Written:
        mirror = self.mode == "mirror"
        names = [name for name, _ in keys] if mirror else []
        layout = Layout(connection, target, ledger, names)
        if mirror and self._entry is None:
            layout.fit({name: KEYS[kind] for name, kind in keys})
        arrivals = [Arrival(connection, batch, names) for batch in batches if batch.num_rows]
        kinds = merged_kinds(arrivals, whole=not mirror)
        if arrivals:
            layout.fit(kinds)
        if not mirror:
            return _append(connection, target, layout, arrivals)
        written = Written()
        if arrivals:
            _stage(connection, layout, arrivals, list(kinds), names)
            written = _merge(connection, target, layout, list(kinds), names)
        swept = self._sweep(Sweep(connection, target, layout, names), state, list(kinds), names)
        return replace(written, swept=swept)

    def _sweep(self, sweep: Sweep, state: State, attributes: Sequence[str], keys: Sequence[str]) -> int:
        """Keeps account of what a later epoch's snapshot has seen; how many rows it swept in the end.

        The first epoch has nothing to sweep: its mirror was empty.
        """
        now = _snapshot(state.checkpoint)
        before = _snapshot(self._entry.checkpoint) if self._entry else None
        if now is None or now.epoch == 1:
            return 0
        if before is None or before.epoch != now.epoch:
            sweep.begin()
        elif before.ready:
            return 0
        else:
            sweep.go_on()
        if attributes:
            sweep.note(_STAGED, [f"a{attributes.index(key)}" for key in keys], now.epoch)
        return sweep.finish() if now.ready else 0


def _snapshot(checkpoint: str) -> Snapshot | None:
    return Snapshot.of(json.loads(checkpoint))


def _append(connection: Any, target: Target, layout: Layout, arrivals: Sequence[Arrival]) -> Written:
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


def _stage(
    connection: Any,
    layout: Layout,
    arrivals: Sequence[Arrival],
    attributes: Sequence[str],
    keys: Sequence[str],
) -> None:
    """Puts the last row of every key of all batches into a temporary table.

    Its columns are ``a0``, ``a1``, … for the attributes in order, the row's ``place``, whether the
    key is ``removed``, and the ``epoch``.
    """
    kinds = [layout.kinds[layout.names[attribute]] for attribute in attributes]
    columns = "".join(f"a{place} {kind.sql}, " for place, kind in enumerate(kinds))
    columns += "place BIGINT, removed BOOLEAN, epoch BIGINT"
    rows(connection, f"CREATE OR REPLACE TEMP TABLE shardarrow_staged ({columns})")
    before = 0
    for arrival in arrivals:
        values = [arrival.value(name, kind) for name, kind in zip(attributes, kinds, strict=True)]
        with arrival.readable():
            before += changed(
                connection,
                f"INSERT INTO {_STAGED} SELECT {', '.join(values)}, {before} + row_number() OVER (), "
                f"{arrival.removed}, {arrival.epoch} FROM {arrival.view}",
            )
    by = ", ".join(f"a{attributes.index(key)}" for key in keys)
    rows(
        connection,
        f"DELETE FROM {_STAGED} WHERE place NOT IN (SELECT max(place) FROM {_STAGED} GROUP BY {by})",
    )


def _merge(
    connection: Any, target: Target, layout: Layout, attributes: Sequence[str], keys: Sequence[str]
) -> Written:
    """Brings the staged rows into the mirror.

    A row is replaced whole. Deleting and inserting is several times faster here than MERGE or
    UPDATE, which rewrite every column of the row groups they touch.
    """
    same = " AND ".join(
        f"mirror.{column_list([layout.names[key]])} = staged.a{attributes.index(key)}" for key in keys
    )
    delete = f"DELETE FROM {target.sql} AS mirror USING {_STAGED} AS staged WHERE {same} AND"
    columns = column_list([layout.names[attribute] for attribute in attributes])
    values = ", ".join(f"a{place}" for place in range(len(attributes)))
    deleted = changed(connection, f"{delete} staged.removed")
    updated = changed(connection, f"{delete} NOT staged.removed")
    upserted = changed(
        connection, f"INSERT INTO {target.sql} ({columns}) SELECT {values} FROM {_STAGED} WHERE NOT removed"
    )
    return Written(inserted=upserted - updated, updated=updated, deleted=deleted)
