"""Positions, where checkpoints are kept, and what is kept with them."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from shardarrow._native import Memory
from shardarrow.errors import UsageError

# The service models allow this many digits (Kinesis: `0|([1-9]\d{0,128})`).
_MOST_DIGITS = 129
_LAST_PART = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Position:
    """A place between the records of one shard.

    Attributes:
        kind: ``"at"`` is just before its record, ``"after"`` just behind it.
        sequence: The record's sequence number; `None` at the beginning.
        shard: The shard, where it has to be named.
    """

    kind: Literal["beginning", "at", "after"]
    sequence: str | None = None
    shard: str | None = None

    def __str__(self) -> str:
        return "the beginning" if self.sequence is None else f"{self.kind} {self.sequence}"


class Span(NamedTuple):
    """What a batch covers of one shard: everything behind `start`, up to and with `end`."""

    start: Position
    end: Position

    def __str__(self) -> str:
        return f"({self.start}, {self.end}]"


def at(sequence: str | int, *, shard: str | None = None) -> Position:
    """Starts with the record that has this sequence number.

    Args:
        sequence: 1 to 129 decimal digits; for Kinesis also ``"123:4"``, part 4 of an aggregated record.
        shard: The shard's id; may be left out where exactly one listed shard can hold the record.

    Raises:
        UsageError: `sequence` is not a sequence number.
    """
    return Position("at", _sequence(sequence), shard)


def after(sequence: str | int, *, shard: str | None = None) -> Position:
    """Starts behind the record that has this sequence number. Arguments are those of `at`."""
    return Position("after", _sequence(sequence), shard)


def _sequence(sequence: str | int) -> str:
    text = str(sequence)
    number, colon, part = text.partition(":")
    whole = _is_decimal(number) and len(number) <= _MOST_DIGITS
    if not whole or (colon and not (_is_decimal(part) and int(part) <= _LAST_PART)):
        raise UsageError(
            f"{text!r} is not a sequence number: it must be 1 to {_MOST_DIGITS} decimal digits, "
            "for a part of a Kinesis record with a colon and the part's number behind"
        )
    return text


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


@dataclass(frozen=True)
class SqliteStore:
    """Checkpoints in an SQLite file, which several consumers may share by name.

    Args:
        path: The file; it is made when it does not exist, its folder is not.
    """

    path: str | os.PathLike[str]

    def _config(self, name: str) -> dict[str, str]:
        path = Path(os.fsdecode(self.path))
        if path.is_dir():
            raise UsageError(f"checkpoint={str(path)!r} is a folder; name a file")
        return {"kind": "sqlite", "path": str(path.absolute()), "name": name}


@dataclass(frozen=True, repr=False)
class MemoryStore:
    """Checkpoints that last as long as this object: for tests, and for reading again in one process."""

    _native: Memory = field(default_factory=Memory)

    def __repr__(self) -> str:
        return "MemoryStore()"

    def _config(self, name: str) -> dict[str, str]:
        return {"kind": "memory", "name": name}


@dataclass(frozen=True, slots=True)
class Gap:
    """Records known to be lost.

    Attributes:
        shard: The shard, if one is known.
        start: Where the loss begins, in words, if known.
        end: Where it ends, in words, if known.
        cause: Why, in a sentence.
        stream_arn: The stream it happened in.
        found: When it was found, in milliseconds since 1970 by the service's clock, if known.
    """

    shard: str | None
    start: str | None
    end: str | None
    cause: str
    stream_arn: str
    found: int | None

    @classmethod
    def _from_json(cls, text: str) -> "Gap":
        gap = json.loads(text)
        start, end = _words(gap["from"]), _words(gap["to"])
        return cls(gap["shard"], start, end, gap["cause"], gap["stream_arn"], gap["found"])


def _words(position: "str | dict[str, str] | None") -> str | None:
    match position:
        case None:
            return None
        case str():
            return "the beginning"
        case _:
            ((kind, sequence),) = position.items()
            return f"{kind} {sequence}"


@dataclass(frozen=True, slots=True)
class QuarantinedRecord:
    """A record that could not be decoded, as it came.

    Attributes:
        shard: The shard it came from.
        sequence: Its sequence number, if that could be read.
        raw: The bytes the service sent: JSON in the service's form.
        reason: Why it could not be decoded.
    """

    shard: str
    sequence: str | None
    raw: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class LoaderState:
    """What a loader writes in the transaction of its data, covering every batch taken so far.

    Attributes:
        through: What to give back to `Stream._saved` once it is durable.
        checkpoint: JSON; the next stream is opened with it.
        gaps: One JSON text per gap that became known since the last `_saved`.
        quarantined: Records set aside since the last `_saved`.
    """

    through: int
    checkpoint: str
    gaps: list[str]
    quarantined: list[tuple[str, str | None, bytes, str]]


Checkpoint = str | os.PathLike[str] | SqliteStore | MemoryStore | None


def store(checkpoint: Checkpoint) -> SqliteStore | MemoryStore:
    """The store meant by `checkpoint=`.

    Raises:
        UsageError: It is neither a path nor a store.
    """
    match checkpoint:
        case None:
            return MemoryStore()
        case SqliteStore() | MemoryStore():
            return checkpoint
        case str() | os.PathLike():
            return SqliteStore(checkpoint)
    raise UsageError(f"checkpoint={checkpoint!r} must be a path, a store, or None")


def consumer(name: object) -> str:
    """The consumer's name in a store.

    Raises:
        UsageError: It is empty, or not text.
    """
    if not isinstance(name, str) or not name:
        raise UsageError(f"name={name!r} must be a text that names this consumer in its store")
    return name
