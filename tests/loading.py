"""What the loader's tests share: a source that replays known changes, and a loader that dies on purpose.

Run as a script it is the process that gets killed: ``python loading.py URL MODE STORY KILL_AT`` with
STORY = seed:changes, or the seed of a story in epochs, and KILL_AT = place:write,
place:sweep or ``-``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow as pa

from shardarrow.dynamodb import DynamoDB
from shardarrow.loaders.base import Loop
from shardarrow.loaders.duckdb import DuckDBLoader
from shardarrow.loaders.stop import Stop, on_signals

DECIMAL = pa.decimal128(38, 9)
LADDER = (pa.int64(), DECIMAL, pa.string())
METADATA = ("_op", "_time", "_shard", "_sequence", "_event_id", "_ttl")


def canonical(number):
    """A number as DynamoDB writes it."""
    text = format(Decimal(number), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def narrowest(number):
    if isinstance(number, int) and -(2**63) <= number < 2**63:
        return pa.int64()
    number = Decimal(number)
    fits = number.as_tuple().exponent >= -9 and abs(number) < Decimal(10) ** 29
    return DECIMAL if fits else pa.string()


class Columns:
    """Changes as batches whose schema grows, as the decoder's does: columns added, numbers widened."""

    def __init__(self, keys):
        self.keys = keys
        self.types = {
            name: {"S": pa.string(), "N": pa.int64(), "B": pa.binary()}[kind] for name, kind in keys
        }
        self.sequence = 0

    def batch(self, changes):
        """``changes``: (op, item), where an item's numbers are int or Decimal."""
        for _, item in changes:
            for name, value in item.items():
                self._see(name, value)
        start, self.sequence = self.sequence, self.sequence + len(changes)
        arrays = {
            "_op": pa.array([op for op, _ in changes]).dictionary_encode(),
            "_time": pa.array(range(start, self.sequence), pa.timestamp("us", "UTC")),
            "_shard": pa.array(["shard-0"] * len(changes)).dictionary_encode(),
            "_sequence": pa.array([str(place) for place in range(start, self.sequence)]),
            "_event_id": pa.array([f"event-{place}" for place in range(start, self.sequence)]),
            "_ttl": pa.array([False] * len(changes)),
        }
        for name, type_ in self.types.items():
            arrays[name] = pa.array([self._value(item.get(name), type_) for _, item in changes], type_)
        arrays["_rest"] = pa.nulls(len(changes), pa.string())
        return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))

    def _see(self, name, value):
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            known = self.types.get(name, pa.int64())
            self.types[name] = max(known, narrowest(value), key=LADDER.index)
        elif value is not None and name not in self.types:
            self.types[name] = pa.scalar(value).type

    def _value(self, value, type_):
        if value is None or isinstance(value, (str, bool, bytes, list, dict)):
            return value
        if type_ == pa.string():
            return canonical(value)
        return Decimal(value) if type_ == DECIMAL else int(value)


class Batch:
    """A record batch as a stream hands it out."""

    def __init__(self, rows, epoch):
        self.rows, self.epoch = rows, epoch
        self.num_rows, self.nbytes, self.schema = rows.num_rows, rows.nbytes, rows.schema

    def __arrow_c_array__(self, requested_schema=None):
        return self.rows.__arrow_c_array__(requested_schema)


@dataclass(frozen=True)
class Moment:
    """What a stream knows from here on, with or without rows: the epoch, and how far its snapshot is."""

    epoch: int
    ready: bool = False
    scanned: int = 0
    items: int | None = None
    snapshot: bool = True
    begun: bool = True

    @property
    def checkpoint(self):
        start = {"epoch": self.epoch, "start": "snapshot" if self.snapshot else "earliest"}
        if not (self.snapshot and self.begun):
            return start
        snapshot = {
            "segments": [
                {"after": None, "done": True, "scanned": self.scanned},
                {"after": None, "done": self.ready, "scanned": 0},
            ],
            "slices": 1,
            "ended": 1_700_000_000_000 if self.ready else None,
            "ready": self.ready,
            "scanned": self.scanned,
            "items": self.items,
        }
        return {**start, "snapshot": snapshot}


NO_SNAPSHOT = Moment(1, snapshot=False)


class Source:
    """Replays batches, and moments between them; it stands in for ``shardarrow.dynamodb``.

    Its stream holds the loader to the contract: nothing is taken before the first state is
    saved, and what is said to be saved was a state that was given.
    """

    def __init__(self, batches, keys=(("id", "S"),), *, new_image=True, at_end=None, table="orders"):
        self.batches = batches
        self.keys = list(keys)
        self.new_image = new_image
        self.at_end = at_end
        self.table = table
        self.images = "columns"
        self.streams = []
        self.gaps = {}
        self.quarantined = {}
        self.idle_checkpoints = []

    _is_unordered = False
    _check_mode = DynamoDB._check_mode
    _default_table = DynamoDB._default_table

    def _stream_for_loader(self, saved, *, mode="append", **options):
        self.mode = mode
        self.streams.append(Stream(self, saved, options))
        return self.streams[-1]


class Stream:
    ENDED = object()

    def __init__(self, source, saved, options):
        self.source, self.options = source, options
        self.place = json.loads(saved)["place"] if saved else 0
        self.through, self.given, self.saved_through, self.note = 0, set(), [], 0
        self._keys, self._view_has_new_image = source.keys, source.new_image

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    @property
    def _ended(self):
        return self.place >= len(self.source.batches) and not self.source.idle_checkpoints

    @property
    def moment(self):
        """The last one passed; one at the very front is what the stream knows when it opens."""
        passed = [step for step in self.source.batches[: max(self.place, 1)] if isinstance(step, Moment)]
        return passed[-1] if passed else NO_SNAPSHOT

    def _take(self, timeout):
        assert self.saved_through, "a batch was taken before the first state was saved"
        assert timeout >= 0
        if self.place >= len(self.source.batches):
            if self.source.at_end:
                self.source.at_end()
            return self.ENDED if self._ended else None
        batch = self.source.batches[self.place]
        if isinstance(batch, BaseException):
            raise batch
        self.place += 1
        self.through += 1
        return None if isinstance(batch, Moment) else Batch(batch, self.moment.epoch)

    def _state(self):
        self.given.add(self.through)
        if self.place >= len(self.source.batches) and self.source.idle_checkpoints:
            self.note = self.source.idle_checkpoints.pop(0)
        return SimpleNamespace(
            through=self.through,
            checkpoint=json.dumps({**self.moment.checkpoint, "place": self.place, "note": self.note}),
            gaps=self.source.gaps.pop(self.place, []),
            quarantined=self.source.quarantined.pop(self.place, []),
        )

    def _saved(self, through):
        assert through in self.given
        self.saved_through.append(through)


def run(loader, source, *, follow=False, load_interval=0.0, **options):
    """One load with a loader made by the test."""
    stop = Stop()
    with on_signals(stop):
        return Loop(loader, load_interval=load_interval, stop=stop).run(source, follow=follow, **options)


def random_changes(seed, count, keys=40):
    """Inserts, updates and deletes of items that gain attributes and whose numbers widen as they go."""
    chance = random.Random(seed)
    changes = []
    for place in range(count):
        key = {"id": f"k{chance.randrange(keys)}", "rank": chance.randrange(3)}
        if place > count // 3 and chance.random() < 0.2:
            key["rank"] = Decimal("0.5")
        if place > 2 * count // 3 and chance.random() < 0.2:
            key["rank"] = Decimal("-1.2345678901234567890123456789012345678")
        if chance.random() < 0.3:
            changes.append(("remove", key))
            continue
        item = dict(key, count=place, name=f"n{place}")
        if chance.random() < 0.5:
            item[f"extra{place * 6 // count}"] = chance.choice([True, False])
        if chance.random() < 0.3:
            item["price"] = chance.choice([7, Decimal("1.5"), Decimal("12345678901234567890.25")])
        changes.append((chance.choice(["insert", "modify"]), item))
    return changes


RANDOM_KEYS = [("id", "S"), ("rank", "N")]


def random_batches(seed, count, rows=7):
    columns = Columns(RANDOM_KEYS)
    changes = random_changes(seed, count)
    return [columns.batch(changes[at : at + rows]) for at in range(0, count, rows)]


def model(changes, keys):
    """The table after the changes: key → item, every number in canonical text."""

    table = {}
    for op, item in changes:
        key = tuple(plain(item[name]) for name, _ in keys)
        table.pop(key, None)
        if op != "remove":
            table[key] = {name: plain(value) for name, value in item.items()}
    return table


KEY_SHAPES = [
    [("id", "S")],
    [("id", "N")],
    [("id", "B")],
    [("id", "S"), ("rank", "N")],
    [("id", "N"), ("rank", "B")],
    [("id", "B"), ("rank", "S")],
]


def random_story(seed, keys, batches=8):
    """Moments and changes of three epochs, the second given up; number keys widen as it goes on."""
    chance = random.Random(f"{seed} {keys}")
    steps = [Moment(1)]
    for epoch in (1, 2, 3):
        operations = ["snapshot"] * 3 + ["insert", "modify", "remove"]
        for place in range(batches):
            late = epoch > 1 and place > batches // 2
            changes = [_random_row(chance, operations, keys, late) for _ in range(chance.randrange(1, 9))]
            steps.append(changes)
            if epoch != 2 and place == batches - 3:
                steps.append(Moment(epoch, ready=True))
                operations = ["insert", "modify", "remove"]
        if epoch < 3:
            steps.append(Moment(epoch + 1))
    return steps


def _random_row(chance, operations, keys, late):
    item = {name: _random_key(chance, kind, late) for name, kind in keys}
    operation = chance.choice(operations)
    return (operation, item if operation == "remove" else {**item, "count": chance.randrange(1000)})


def _random_key(chance, kind, late):
    number = chance.randrange(4, 16 if late else 12)
    if kind == "B":
        return bytes([number, 0, 255])
    if kind == "S":
        return f"k{number}"
    wide = [number, number + Decimal("0.5"), Decimal(number) + Decimal("1E-30")]
    return chance.choice(wide) if late else number


def story_batches(steps, keys):
    """The story as a source replays it."""
    columns = Columns(keys)
    return [step if isinstance(step, Moment) else columns.batch(step) for step in steps]


def end_of(steps, keys):
    """The mirror at the end of a story: what its last epoch says, whatever was there before."""
    last = max(place for place, step in enumerate(steps) if isinstance(step, Moment) and not step.ready)
    return model([change for step in steps[last:] if isinstance(step, list) for change in step], keys)


def query(statement, file="shop.duckdb"):
    with duckdb.connect(file) as connection:
        return connection.execute(statement).fetchall()


def items(table="orders", file="shop.duckdb", keys=("id",)):
    """The mirror as the model has it."""
    with duckdb.connect(file) as connection:
        return items_in(connection, f'"{table}"', keys)


def items_in(connection, table="orders", keys=("id",)):
    """As `items`: every number in canonical text, absent attributes left out."""
    result = connection.execute(f"FROM {table}")
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, map(plain, row), strict=True)) for row in result.fetchall()]
    rows = [{name: value for name, value in row.items() if value is not None} for row in rows]
    table = {tuple(row[key] for key in keys): row for row in rows}
    assert len(table) == len(rows), "a key has two rows"
    return table


def plain(value):
    number = isinstance(value, (int, Decimal)) and not isinstance(value, bool)
    return canonical(value) if number else value


class DyingLoader(DuckDBLoader):
    """Kills its process with SIGKILL at one point of its nth write, or of the first that sweeps."""

    def __init__(self, *arguments, place, at):
        super().__init__(*arguments)
        self._death, self._at, self._left = place, at, 1 if at == "sweep" else int(at)

    def _die(self, place):
        if place == self._death and self._meant:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _commit(self, connection):
        self._die("before-commit")
        super()._commit(connection)
        self._die("after-commit")

    def write(self, batches, state, keys):
        checkpoint = json.loads(state.checkpoint)
        sweeps = checkpoint["epoch"] > 1 and checkpoint.get("snapshot", {}).get("ready")
        self._meant = self._at != "sweep" or sweeps
        self._die("before-write")
        written = super().write(batches, state, keys)
        self._die("after-close")
        return written


PLACES = ("before-write", "before-commit", "after-commit", "after-close")
"""Where it dies."""


def script(*arguments, check=True):
    """Runs this file."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    return subprocess.run(
        [sys.executable, __file__, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=check,
    )


def main(url, mode, story, kill):
    seed, _, count = story.partition(":")
    if count:
        source = Source(random_batches(int(seed), int(count)), RANDOM_KEYS)
    else:
        source = Source(story_batches(random_story(int(seed), RANDOM_KEYS), RANDOM_KEYS), RANDOM_KEYS)
    if kill == "-":
        loader = DuckDBLoader(url, ("orders",), mode)
    else:
        place, at = kill.split(":")
        loader = DyingLoader(url, ("orders",), mode, place=place, at=at)
    print(run(loader, source).rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
