"""A mirror of changes that come repeated and out of order, as DynamoDB sends them through Kinesis.

Within a key, the change made last wins, by its time. Changes of the same moment form a chain: each leads
from the image before it to the image behind it, and the mirror shows the image to which the chain leads.
A table beside the mirror keeps, for every key that was changed within the stream's retention, the changes
of its last moment: their time and the hashes of the images. An image without a hash (a deleted item) is
the empty one. So a change that comes again, or comes late, is known when it comes.

While a chain has several ends, because a change between them has not come yet or because the images do
not say, the mirror shows the end that came last, and the images of all ends are kept: the missing change
may show that it is another one.

Scanned items rank below every change.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from shardarrow.errors import InternalError, LoadError
from shardarrow.loaders.base import Written
from shardarrow.loaders.duckdb import target as catalog
from shardarrow.loaders.duckdb.arrivals import Arrival
from shardarrow.loaders.duckdb.doubts import TIES, VERSIONS, Account
from shardarrow.loaders.duckdb.layout import Layout
from shardarrow.loaders.duckdb.sql import changed, column_list, quoted, rows
from shardarrow.loaders.duckdb.staging import STAGED, Extra, keep_pace
from shardarrow.loaders.duckdb.target import Target
from shardarrow.loaders.duckdb.types import converted

_CHANGES = '"temp"."main"."shardarrow_changes"'
_ENDS = '"temp"."main"."shardarrow_ends"'
_IMAGES = '"temp"."main"."shardarrow_images"'

# Versions are kept for longer than the stream keeps a record: the clocks of those who change items differ.
_MARGIN = 3600.0
_MICRO = 1_000_000
# Microseconds. Looking for what can be forgotten reads all versions.
_PRUNE_EVERY = 900 * _MICRO

# The image of an item that is not there, and of a change that does not say its image.
_NOTHING, _UNKNOWN = "''::BLOB", "'\\x00'::BLOB"


def extras() -> list[Extra]:
    """What has to be staged of a change besides its attributes."""
    return [
        ("scanned", "BOOLEAN", lambda _: "c0 = 'snapshot'"),
        ("time", "BIGINT", lambda arrival: f"epoch_us({arrival.metadata('time')})"),
        ("image", "BLOB", _image),
        ("before", "BLOB", _before),
    ]


def _image(arrival: Arrival) -> str:
    image = f"coalesce({arrival.metadata('new_hash')}, {_UNKNOWN})"
    return f"CASE WHEN {arrival.removed} THEN {_NOTHING} ELSE {image} END"


def _before(arrival: Arrival) -> str:
    return f"coalesce({arrival.metadata('old_hash')}, CASE WHEN c0 = 'insert' THEN {_NOTHING} END)"


class Channel:
    """The versions of one mirror, and what follows from them for its rows.

    Its work is part of the caller's transaction. The changes of a write are staged with `extras`.
    """

    def __init__(self, connection: Any, target: Target, layout: Layout, keys: Sequence[str]) -> None:
        """`layout` fits what this write brings already."""
        self.connection = connection
        self.target = target
        self._layout = layout
        self._columns = [layout.names[key] for key in keys]
        self._kinds = {column: layout.kinds[column] for column in self._columns}
        self.versions = Target(target.database, target.schema, VERSIONS + target.name)
        self._ties = Target(target.database, target.schema, TIES + target.name)
        self._account = Account(connection, target)
        self._k = ", ".join(f"k{number}" for number in range(len(keys)))

    # Between writes

    def begin(self) -> None:
        """Nothing is known yet."""
        self._account.open()
        columns = ", ".join(f"{quoted(column)} {kind.sql}" for column, kind in self._kinds.items())
        self._run(
            f"CREATE OR REPLACE TABLE {self.versions.sql} ({columns}, _shardarrow_time BIGINT, "
            "_shardarrow_image BLOB, _shardarrow_before BLOB, _shardarrow_arrived BIGINT, "
            "_shardarrow_shown BOOLEAN, _shardarrow_contested BOOLEAN)"
        )
        self._run(f"DROP TABLE IF EXISTS {self._ties.sql}")

    def go_on(self, retention: float, epoch: int, since: int) -> None:
        """Goes on with what earlier writes knew; key columns widen with the mirror's.

        What is scanned in a later epoch ranks above the changes of those before. Changes made before
        `since` are left out, because the epoch's scan has them; 0 where that is not known.

        Raises:
            LoadError: it is gone. Without it late changes could not be told from new ones.
        """
        if not catalog.exists(self.connection, self.versions):
            raise LoadError(
                f"{self.versions.label} is gone, and without it nobody can tell late changes of "
                f"{self.target.label} from new ones: restore it, or load into another table="
            )
        keep_pace(self.connection, self.versions, self._kinds)
        if self._account.read("epoch") != epoch:
            self._run(f"DELETE FROM {self.versions.sql}")
            self._run(f"DROP TABLE IF EXISTS {self._ties.sql}")
            self._account.set(epoch=epoch, since=0)
        since = max(since, self._account.read("since"))
        self._account.set(retention=retention + _MARGIN, since=since)

    # One write

    def merge(self, attributes: Sequence[str], keys: Sequence[str], arrived: int) -> Written:
        """Brings the staged rows into versions and mirror.

        `keys` are staged columns, `arrived` counts the rows that came in all writes before.
        """
        self._check_times()
        self._leave_out()
        self._gather(keys, arrived)
        self._find_ends()
        self._collect_images(attributes, keys)
        written = self._show()
        self._remember()
        scanned = self._add_scanned(attributes, keys)
        self._forget()
        return Written(
            inserted=written.inserted + scanned.inserted,
            updated=written.updated + scanned.updated,
            deleted=written.deleted,
        )

    def _check_times(self) -> None:
        if self._ask(f"SELECT count(*) FROM {STAGED} WHERE time IS NULL AND NOT scanned"):
            raise LoadError(
                f"a change for {self.target.label} has no time, so nobody can tell whether it is the last of "
                "its key: load it with mode='append'"
            )

    def _leave_out(self) -> None:
        """Changes that the scan has: one that comes late must not stand above what the scan found."""
        if since := self._account.read("since"):
            left_out = changed(self.connection, f"DELETE FROM {STAGED} WHERE NOT scanned AND time < {since}")
            self._account.set(left_out=self._account.read("left_out") + left_out)

    def _gather(self, keys: Sequence[str], arrived: int) -> None:
        """The changes of each key's last moment, those known and those that came, each once."""
        staged = ", ".join(f"{key} AS k{number}" for number, key in enumerate(keys))
        known = ", ".join(f"{quoted(column)} AS k{number}" for number, column in enumerate(self._columns))
        same = self._same("changed", "known")
        self._run(
            f"CREATE OR REPLACE TEMP TABLE shardarrow_changes AS "
            f"WITH came AS (SELECT {staged}, time, image, before, {arrived} + place AS arrived, "
            f"false AS shown FROM {STAGED} WHERE NOT scanned), "
            f"changed AS (SELECT DISTINCT {self._k} FROM came), "
            f"known AS (SELECT {known}, _shardarrow_time AS time, _shardarrow_image AS image, "
            "_shardarrow_before AS before, _shardarrow_arrived AS arrived, _shardarrow_shown AS shown "
            f"FROM {self.versions.sql}), "
            f"both_ AS (FROM came UNION ALL SELECT known.* FROM known SEMI JOIN changed ON {same}), "
            f"ranked AS (SELECT *, max(time) OVER (PARTITION BY {self._k}) AS newest FROM both_) "
            f"SELECT {self._k}, time, image, before, min(arrived) AS arrived, bool_or(shown) AS shown "
            f"FROM ranked WHERE time = newest GROUP BY {self._k}, time, image, before"
        )

    def _find_ends(self) -> None:
        """Where the changes of a key's last moment lead: one end is to be shown, others may become it.

        An image that more changes lead to than start from is an end. Where there is none (they lead in a
        circle) every image may be.
        """
        self._run(
            "CREATE OR REPLACE TEMP TABLE shardarrow_ends AS "
            f"WITH steps AS (SELECT {self._k}, image, 1 AS step, arrived, shown FROM {_CHANGES} "
            f"UNION ALL SELECT {self._k}, before, -1, NULL, NULL FROM {_CHANGES} WHERE before IS NOT NULL), "
            f"images AS (SELECT {self._k}, image, sum(step) AS balance, max(arrived) AS arrived, "
            f"coalesce(bool_or(shown), false) AS shown FROM steps GROUP BY {self._k}, image), "
            "counted AS (SELECT *, count(*) FILTER (balance > 0) OVER key AS ends, "
            f"count(arrived) OVER key AS reached FROM images WINDOW key AS (PARTITION BY {self._k})) "
            f"SELECT {self._k}, image, shown, ends <> 1 AND reached > 1 AS contested, "
            f"row_number() OVER (PARTITION BY {self._k} ORDER BY arrived DESC) = 1 AS chosen "
            "FROM counted WHERE arrived IS NOT NULL AND (balance > 0 OR ends = 0)"
        )

    def _collect_images(self, attributes: Sequence[str], keys: Sequence[str]) -> None:
        """The images of all ends to be shown or kept: from the changes, from the mirror, or kept already."""
        wanted = f"FROM {_ENDS} WHERE image <> {_NOTHING} AND (contested OR chosen AND NOT shown)"
        columns = {
            column: f"a{number}" for number, column in enumerate(map(self._layout.names.get, attributes))
        }
        key = ", ".join(f"{key} AS k{number}" for number, key in enumerate(keys))
        mirrored = ", ".join(f"{quoted(column)} AS k{number}" for number, column in enumerate(self._columns))
        sources = [
            f"SELECT {key}, staged.image AS end_, {self._values(columns)} FROM {STAGED} AS staged "
            "WHERE NOT scanned AND NOT removed",
            f"SELECT {mirrored}, ends.image, {self._values({c: quoted(c) for c in self._layout.kinds})} "
            f"FROM {self.target.sql} AS mirror JOIN {_ENDS} AS ends ON {self._same_as_mirror('ends')} "
            "WHERE ends.shown AND ends.contested",
        ]
        if catalog.exists(self.connection, self._ties):
            kept = catalog.columns(self.connection, self._ties)
            values = {
                c: converted(quoted(c), kind, self._layout.kinds[c])
                for c, kind in kept.items()
                if c in self._layout.kinds
            }
            sources.append(
                f"SELECT {mirrored}, _shardarrow_image, {self._values(values)} FROM {self._ties.sql}"
            )
        self._run(
            "CREATE OR REPLACE TEMP TABLE shardarrow_images AS "
            f"WITH wanted AS (SELECT {self._k}, image {wanted}), "
            f"found AS ({' UNION ALL '.join(sources)}) "
            f"SELECT DISTINCT ON ({self._k}, end_) found.* FROM found SEMI JOIN wanted "
            f"ON {self._same('found', 'wanted')} AND found.end_ = wanted.image"
        )

    def _values(self, known: dict[Any, str]) -> str:
        """Every column of the mirror as ``m0``, ``m1``, …; NULL for those that are not known."""
        return ", ".join(
            f"{known.get(column, f'CAST(NULL AS {kind.sql})')} AS m{number}"
            for number, (column, kind) in enumerate(self._layout.kinds.items())
        )

    def _show(self) -> Written:
        chosen = f"(FROM {_ENDS} WHERE chosen AND NOT shown) AS ends"
        delete = (
            f"DELETE FROM {self.target.sql} AS mirror USING {chosen} WHERE {self._same_as_mirror('ends')} AND"
        )
        deleted = changed(self.connection, f"{delete} ends.image = {_NOTHING}")
        updated = changed(self.connection, f"{delete} ends.image <> {_NOTHING}")
        columns = column_list(list(self._layout.kinds))
        values = ", ".join(f"m{number}" for number in range(len(self._layout.kinds)))
        shown = changed(
            self.connection,
            f"INSERT INTO {self.target.sql} ({columns}) SELECT {values} "
            f"FROM {_IMAGES} AS images JOIN {chosen} "
            f"ON {self._same('images', 'ends')} AND images.end_ = ends.image",
        )
        meant = self._ask(f"SELECT count(*) FROM {chosen} WHERE image <> {_NOTHING}")
        if shown != meant:
            raise InternalError(f"{meant - shown} images of {self.target.label} are not there to be shown")
        return Written(inserted=shown - updated, updated=updated, deleted=deleted)

    def _remember(self) -> None:
        """Versions and kept images of the changed keys become those of now."""
        same = " AND ".join(
            f"known.{quoted(c)} = changed.k{number}" for number, c in enumerate(self._columns)
        )
        gone = f"USING (SELECT DISTINCT {self._k} FROM {_CHANGES}) AS changed WHERE {same}"
        self._run(f"DELETE FROM {self.versions.sql} AS known {gone}")
        keys = ", ".join(f"changes.k{number}" for number in range(len(self._columns)))
        self._run(
            f"INSERT INTO {self.versions.sql} SELECT {keys}, time, changes.image, before, arrived, "
            "changes.image = ends.image, ends.contested "
            f"FROM {_CHANGES} AS changes JOIN (FROM {_ENDS} WHERE chosen) AS ends "
            f"ON {self._same('changes', 'ends')}"
        )
        contested = self._ask(f"SELECT count(*) FROM {_ENDS} WHERE contested")
        exists = catalog.exists(self.connection, self._ties)
        if not contested and not exists:
            return
        columns = list(self._layout.kinds)
        named = ", ".join(f"m{number} AS {quoted(column)}" for number, column in enumerate(columns))
        now = (
            f"SELECT {named}, end_ AS _shardarrow_image FROM {_IMAGES} AS images SEMI JOIN "
            f"(FROM {_ENDS} WHERE contested) AS ends ON {self._same('images', 'ends')}"
        )
        if exists:
            known = catalog.columns(self.connection, self._ties)
            kept = ", ".join(
                converted(quoted(c), known[c], kind) if c in known else f"CAST(NULL AS {kind.sql})"
                for c, kind in self._layout.kinds.items()
            )
            now += (
                f" UNION ALL SELECT {kept}, _shardarrow_image FROM {self._ties.sql} AS known "
                f"ANTI JOIN {_CHANGES} AS changed ON {same}"
            )
        self._run(f"CREATE OR REPLACE TABLE {self._ties.sql} AS {now}")

    def _add_scanned(self, attributes: Sequence[str], keys: Sequence[str]) -> Written:
        """Scanned items of keys of which no change is known; of an item scanned twice, the later."""
        if not self._ask(f"SELECT count(*) FROM {STAGED} WHERE scanned"):
            return Written()
        known = " AND ".join(
            f"known.{quoted(column)} = staged.{key}" for column, key in zip(self._columns, keys, strict=True)
        )
        same = known.replace("known.", "mirror.")
        self._run(
            "CREATE OR REPLACE TEMP TABLE shardarrow_scanned AS "
            f"SELECT DISTINCT ON ({', '.join(keys)}) * FROM {STAGED} AS staged WHERE scanned AND NOT EXISTS "
            f"(SELECT 1 FROM {self.versions.sql} AS known WHERE {known}) ORDER BY place DESC"
        )
        scanned = '"temp"."main"."shardarrow_scanned"'
        updated = changed(
            self.connection, f"DELETE FROM {self.target.sql} AS mirror USING {scanned} AS staged WHERE {same}"
        )
        columns = column_list([self._layout.names[attribute] for attribute in attributes])
        values = ", ".join(f"a{number}" for number in range(len(attributes)))
        inserted = changed(
            self.connection, f"INSERT INTO {self.target.sql} ({columns}) SELECT {values} FROM {scanned}"
        )
        return Written(inserted=inserted - updated, updated=updated)

    def _forget(self) -> None:
        """Forgets versions older than the stream's records, now and then, and counts what stays in doubt."""
        account = self._account
        newest, pruned = account.read("newest"), account.read("pruned")
        late = self._ask(f"SELECT count(*) FROM {STAGED} WHERE NOT scanned AND time < {pruned}")
        came = self._ask(f"SELECT coalesce(max(time), 0) FROM {STAGED} WHERE NOT scanned")
        # A change from the future must not make the versions of today seem old.
        newest = max(newest, min(came, int(time.time() * _MICRO)))
        horizon = newest - int(account.read("retention") * _MICRO)
        account.set(newest=newest, late=account.read("late") + late)
        if horizon - pruned > _PRUNE_EVERY:
            account.set(pruned=horizon, ties=account.read("ties") + self._prune(horizon))

    def _prune(self, horizon: int) -> int:
        """Gives the number of keys whose order will never be known."""
        old = f"FROM {self.versions.sql} WHERE _shardarrow_time < {horizon}"
        columns = column_list(self._columns)
        ties = self._ask(f"SELECT count(DISTINCT ({columns})) {old} AND _shardarrow_contested")
        self._run(f"DELETE {old}")
        if catalog.exists(self.connection, self._ties):
            same = " AND ".join(f"ties.{quoted(c)} = known.{quoted(c)}" for c in self._columns)
            self._run(
                f"DELETE FROM {self._ties.sql} AS ties WHERE NOT EXISTS "
                f"(SELECT 1 FROM {self.versions.sql} AS known WHERE {same} AND _shardarrow_contested)"
            )
        return ties

    # SQL

    def _same(self, one: str, other: str) -> str:
        return " AND ".join(f"{one}.k{number} = {other}.k{number}" for number in range(len(self._columns)))

    def _same_as_mirror(self, other: str) -> str:
        return " AND ".join(
            f"mirror.{quoted(column)} = {other}.k{number}" for number, column in enumerate(self._columns)
        )

    def _ask(self, sql: str) -> int:
        return int(rows(self.connection, sql)[0][0])

    def _run(self, sql: str, values: Sequence[Any] = ()) -> None:
        rows(self.connection, sql, values)
