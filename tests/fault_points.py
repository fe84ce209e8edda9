"""Processes that are killed at a chosen system call: `fault_point.c`, and who uses it.

Run as a script it is a consumer with a checkpoint: ``python fault_points.py SOURCE CHECKPOINT LOG``. It
writes into LOG, before each commit, which rows it has, and behind it that they are committed.
"""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shardarrow as sa

WAIT = 60.0
SOURCE = Path(__file__).with_name("fault_point.c")


@dataclass(frozen=True)
class Point:
    """The nth system call that changes the files, before it takes effect or with half of its bytes."""

    nth: int
    torn: bool = False


def build(directory: Path) -> Path:
    """Compiles `fault_point.c`."""
    library = directory / "fault_point.so"
    compiler = os.environ.get("CC", "cc")
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-o",
        library,
        SOURCE,
        "-ldl",
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


class Mortal:
    """Runs one command again and again, to be killed while it changes the files of a directory."""

    def __init__(self, library: Path, directory: Path, start: Callable[..., Any]) -> None:
        """`start` is the fixture `start_process`. The kernel must know the directory by no other name."""
        self._library, self._directory, self._start = library, directory.resolve(), start
        self.kills = 0

    def calls(self, command: Iterable[str | Path], trace: Path) -> list[str]:
        """Runs to the end; gives the calls that changed files, such as ``fsync shop.duckdb.wal``."""
        assert not self._run(command, 0, FAULT_POINT_TRACE=str(trace))
        return trace.read_text(encoding="utf-8").splitlines()

    def journal(self, command: Iterable[str | Path], journal: Path) -> None:
        """Runs to the end and writes down what is done to the files; see `power_loss.steps`."""
        assert not self._run(command, 0, FAULT_POINT_JOURNAL=str(journal))

    def die_at(self, point: Point, command: Iterable[str | Path]) -> bool:
        """Runs until the point, or to the end: returns whether it was killed."""
        killed = self._run(command, point.nth, FAULT_POINT_TORN=str(int(point.torn)))
        self.kills += killed
        return killed

    def fail_from(self, point: Point, error: int, command: Iterable[str | Path]) -> str:
        """Runs with a disk that fails from the point on: returns what the process said of it."""
        process = self._begin(command, point.nth, FAULT_POINT_ERRNO=str(error))
        _, said = process.communicate(timeout=WAIT)
        assert process.returncode in (0, 1), said
        return str(said) if process.returncode else ""

    def _run(self, command: Iterable[str | Path], nth: int, **more: str) -> bool:
        process = self._begin(command, nth, **more)
        _, said = process.communicate(timeout=WAIT)
        assert process.returncode in (0, -signal.SIGKILL), said
        return bool(process.returncode)

    def _begin(self, command: Iterable[str | Path], nth: int, **more: str) -> "subprocess.Popen[str]":
        asked = {"FAULT_POINT_DIRECTORY": str(self._directory), "FAULT_POINT_NTH": str(nth)}
        environment = os.environ | asked | more | {"LD_PRELOAD": str(self._library)}
        process: subprocess.Popen[str] = self._start(*command, env=environment)
        return process


def points(calls: list[str], most: int, seed: int) -> list[Point]:
    """Every call, each also torn where it writes.

    Or `most` of them: the first one, where the file is there and empty, and others of as many kinds as
    there are.
    """
    everything = [Point(nth) for nth in range(1, len(calls) + 1)]
    everything += [Point(nth, torn=True) for nth, call in enumerate(calls, 1) if is_write(call)]
    if most >= len(everything):
        return everything
    chance = random.Random(seed)
    kinds: dict[tuple[str, bool], list[Point]] = {}
    for point in everything:
        kinds.setdefault((calls[point.nth - 1], point.torn), []).append(point)
    one_of_each = [chance.choice(same) for same in kinds.values()]
    rest = [point for point in everything if point not in one_of_each]
    return [everything[0], *chance.sample(one_of_each, len(one_of_each)), *chance.sample(rest, len(rest))][
        :most
    ]


def is_write(call: str) -> bool:
    return "write" in call.split(" ")[0]


@dataclass(frozen=True)
class Seen:
    """What the consumer's log says: the rows of each run, and how many of all were committed before it."""

    runs: list[list[int]]
    committed: list[int]
    """The rows known to be committed when each run began."""
    in_doubt: list[int]
    """The rows of a commit that was cut off before each run."""


def seen(log: Path) -> Seen:
    return seen_in(log.read_text(encoding="utf-8"))


def seen_in(text: str) -> Seen:
    runs, committed, in_doubt, known, doubtful = [], [], [], 0, 0
    for line in text.splitlines():
        event = json.loads(line)
        match event:
            case "began":
                runs.append([])
                committed.append(known)
                in_doubt.append(doubtful)
            case "committed":
                known, doubtful = runs[-1][-1], 0
            case rows:
                # Where a run begins is what its checkpoint says.
                known = known if runs[-1] else rows[0] - 1
                runs[-1] += rows
                doubtful = len(rows)
    return Seen(runs, committed, in_doubt)


def follow(source: str, checkpoint: str, log: str) -> None:
    """Takes what is there, row by row, with a commit behind each batch."""
    with Path(log).open("a", buffering=1, encoding="utf-8") as out:

        def say(event: Any) -> None:
            out.write(json.dumps(event) + "\n")

        options: Any = {"commit": "manual", "follow": False, "settle": 0.1, "batch_rows": 5}
        with sa.source(source).stream(checkpoint, **options) as stream:
            say("began")
            for batch in stream:
                say([row["n"] for row in batch.to_pyarrow().to_pylist()])
                stream.commit(batch)
                say("committed")


if __name__ == "__main__":
    follow(*sys.argv[1:])
