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
from shardarrow.loaders.duckdb.channel import Channel, extras
from shardarrow.loaders.duckdb.destination import destination, first_line, library
from shardarrow.loaders.duckdb.doubts import Doubts, doubts
from shardarrow.loaders.duckdb.doubts import forget as forget_versions
from shardarrow.loaders.duckdb.layout import Layout
from shardarrow.loaders.duckdb.ledger import Entry, Ledger
from shardarrow.loaders.duckdb.sql import literal, rows
from shardarrow.loaders.duckdb.staging import STAGED, append, keep_last, merge, stage
from shardarrow.loaders.duckdb.sweep import Sweep
from shardarrow.loaders.duckdb.sweep import forget as forget_seen
from shardarrow.loaders.duckdb.target import Target, locate
from shardarrow.loaders.duckdb.types import KEYS
from shardarrow.loaders.snapshot import Snapshot

_RETRY_EVERY = 0.05
# Milliseconds by which the clocks of two services may differ; a fifth of the least `late_margin`.
_CLOCKS = 60_000

Result = TypeVar("Result")


class DuckDBLoader:
    """Fills one table of a DuckDB database.

    Args:
        where: ``duckdb:///shop.duckdb``, ``duckdb:////data/shop.duckdb`` or an open connection.
        table: the parts of the table's name.
        mode: ``mirror`` (the table equals the source) or ``append`` (every change is a row).
        lock_timeout: seconds to wait for a file that somebody else holds.
        unordered: whether changes may come repeated and out of order; a mirror then sorts them itself.
    """

    def __init__(
        self,
        where: Any,
        table: tuple[str, ...],
        mode: str,
        lock_timeout: float = 30.0,
        *,
        unordered: bool = False,
    ) -> None:
        self.mode = mode
        self._unordered = unordered and mode == "mirror"
        self._retention = 0.0
        self._doubts: Doubts | None = None
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

    def opened(self, stream: Any) -> None:
        """Asks how long the stream keeps its records; see `Loader`."""
        if self._unordered:
            self._retention = stream._retention

    def write(self, batches: Sequence[Any], state: State, keys: Sequence[Key]) -> Written:
        """One transaction with the batches and the state; see `Loader`."""
        return self._patiently(lambda connection: self._transact(connection, batches, state, keys))

    def close(self) -> None:
        """Nothing is held between two writes."""

    @property
    def notes(self) -> list[str]:
        """What a reader of the table has to know."""
        return self._doubts.sentences() if self._doubts else []

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
                forget_seen(connection, target)
                forget_versions(connection, target)
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
        keys = (keys or _learned_keys(state)) if mirror else []
        names = [name for name, _ in keys]
        layout = Layout(connection, target, ledger, names)
        is_new = self._entry is None or not layout.kinds
        if is_new and names:
            layout.fit({name: KEYS[kind] for name, kind in keys})
        arrivals = [Arrival(connection, batch, names) for batch in batches if batch.num_rows]
        kinds = merged_kinds(arrivals, whole=not mirror)
        if arrivals:
            layout.fit(kinds)
        if not mirror:
            return append(connection, target, layout, arrivals)
        if self._unordered:
            channel = Channel(connection, target, layout, names)
            sweep = Sweep(connection, target, layout, names)
            return self._sort_in(channel, sweep, layout, arrivals, state, names, is_new)
        written = Written()
        if arrivals:
            stage(connection, layout, arrivals, list(kinds))
            keep_last(connection, _staged(names, list(kinds)))
            written = merge(connection, target, layout, list(kinds), names)
        swept = self._sweep(Sweep(connection, target, layout, names), state, list(kinds), names)
        return replace(written, swept=swept)

    def _sort_in(
        self,
        channel: Channel,
        sweep: Sweep,
        layout: Layout,
        arrivals: Sequence[Arrival],
        state: State,
        keys: Sequence[str],
        is_new: bool,
    ) -> Written:
        """Changes in any order. Before the first one nobody may know the keys, so there is no table."""
        if not layout.kinds:
            return Written()
        epoch = int(json.loads(state.checkpoint)["epoch"])
        if is_new:
            channel.begin()
        channel.go_on(self._retention, epoch, _scanned_since(state))
        attributes = list(merged_kinds(arrivals, whole=False))
        staged = _staged(keys, attributes) if arrivals else []
        written = Written()
        if arrivals:
            stage(channel.connection, layout, arrivals, attributes, extras())
            written = channel.merge(attributes, staged, self._entry.changes if self._entry else 0)
        swept = 0
        if self._is_sweeping(sweep, state):
            if arrivals:
                sweep.note_scanned(STAGED, staged, epoch)
            swept = sweep.finish(channel.versions) if _is_ready(state) else 0
        self._doubts = doubts(channel.connection, channel.target)
        return replace(written, swept=swept)

    def _sweep(self, sweep: Sweep, state: State, attributes: Sequence[str], keys: Sequence[str]) -> int:
        """Keeps account of what a later epoch's snapshot has seen; how many rows it swept in the end."""
        if not self._is_sweeping(sweep, state):
            return 0
        if attributes:
            sweep.note(STAGED, _staged(keys, attributes), int(json.loads(state.checkpoint)["epoch"]))
        return sweep.finish() if _is_ready(state) else 0

    def _is_sweeping(self, sweep: Sweep, state: State) -> bool:
        """Whether a later epoch's snapshot is not complete yet, or just became so; the sweep is then ready.

        The first epoch has nothing to sweep: its mirror was empty.
        """
        now = _snapshot(state.checkpoint)
        before = _snapshot(self._entry.checkpoint) if self._entry else None
        if now is None or now.epoch == 1:
            return False
        if before is None or before.epoch != now.epoch:
            sweep.begin()
        elif before.ready:
            return False
        else:
            sweep.go_on()
        return True


def _is_ready(state: State) -> bool:
    snapshot = _snapshot(state.checkpoint)
    return snapshot is not None and snapshot.ready


def _staged(keys: Sequence[str], attributes: Sequence[str]) -> list[str]:
    """The staged columns of the keys."""
    return [f"a{attributes.index(key)}" for key in keys]


def _learned_keys(state: State) -> list[Key]:
    """The keys that the stream has read from the changes themselves."""
    schema = json.loads(state.checkpoint).get("schema", {})
    return [(key["name"], key["type"]) for key in schema.get("keys", [])]


def _scanned_since(state: State) -> int:
    """Changes made before this moment (microseconds since 1970) are in the scan; 0 without a scan.

    The stream is read from a moment of *arrival*, and what was made a little later may have arrived before
    it by the clock of another service: that is in the scan as well.
    """
    checkpoint = json.loads(state.checkpoint)
    if checkpoint["start"] != "snapshot" and checkpoint["epoch"] == 1:
        return 0
    opened = [shard["created_before"] for shard in checkpoint["shards"].values() if "created_before" in shard]
    return (max(opened) + _CLOCKS) * 1000 if opened else 0


def _snapshot(checkpoint: str) -> Snapshot | None:
    return Snapshot.of(json.loads(checkpoint))
