"""Killed at each system call that changes its files, a checkpoint and a mirror go on as if nothing had been.

`make test` takes a few of the calls, of different kinds; `make test-long` takes all of them.
"""

import errno
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fault_points
import power_loss
from fault_points import Mortal, Point
from mortal import Load, mirror_differences
from services import Tables
from shardarrow.demo.emulator import Emulator
from test_kills import assert_every_change_once, stream_records

ROWS = 18
SAMPLE = 6
SEED = 5
LOAD = ("--once", "--settle", "0.1", "--poll-interval", "0.02", "--batch-rows", "6", "--load-interval", "0")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fault_points.build(tmp_path_factory.mktemp("fault-point"))


@pytest.fixture
def sample(scale: Callable[[int], int]) -> int:
    """How many points are taken."""
    return 10**6 if scale(10) == 10 else SAMPLE


@dataclass(frozen=True)
class Subject:
    """What is killed, a stream that commits to a store or a load in a mode; and what must hold afterwards."""

    what: str
    table: str
    source: str
    tables: Tables
    emulator: Emulator
    start: Callable[..., Any]
    log_among_files: bool = False

    def log(self, directory: Path) -> Path:
        return directory / "said.log" if self.log_among_files else directory.with_suffix(".log")

    def command(self, directory: Path) -> list[str]:
        if self.what == "store":
            script = [sys.executable, fault_points.__file__, self.source]
            return [*script, str(directory / "orders.ckpt"), str(self.log(directory))]
        load = [str(Path(sys.executable).with_name("shardarrow")), "load", self.source]
        destination = f"duckdb:///{directory / 'shop.duckdb'}"
        return [*load, destination, "--table", "orders", "--mode", self.what, *LOAD]

    def assert_exact(self, directory: Path, where: object) -> None:
        if self.what == "store":
            assert_taken_at_least_once(fault_points.seen(self.log(directory)))
            return
        file = directory / "shop.duckdb"
        load = Load(self.source, file, table="orders", mode=self.what, start=self.start)
        if self.what == "mirror":
            assert mirror_differences(load, self.tables.items(self.table)) == [], where
        else:
            assert_every_change_once(load, stream_records(self.emulator, self.table))


@pytest.fixture
def subject_of(
    emulator: Emulator, tables: Tables, start_process: Callable[..., Any]
) -> Callable[..., Subject]:
    def subject_of(what: str, **options: Any) -> Subject:
        table = tables.make(keys={"id": "S"})
        if what == "store":
            items = ({"id": {"S": f"key {n}"}, "n": {"N": str(n)}} for n in range(1, ROWS + 1))
            tables.put(table, *items)
        else:
            put_and_delete(tables, table)
        start = "snapshot" if what == "mirror" else "earliest"
        source = f"dynamodb://{table}?start={start}&segments=1&endpoint_url={emulator.endpoint_url}"
        return Subject(what, table, source, tables, emulator, start_process, **options)

    return subject_of


WHAT = pytest.mark.parametrize("what", ["store", "mirror", "append"])


@pytest.mark.bulk
@pytest.mark.timeout(1800)
@WHAT
def test_killed_at_each_call_everything_is_there_once(
    what: str,
    library: Path,
    subject_of: Callable[..., Subject],
    tmp_path: Path,
    sample: int,
    start_process: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    """For a store alone: at least once, and none is missing."""
    subject = subject_of(what)
    calls = calls_of(library, tmp_path, subject.command, start_process)
    chosen = fault_points.points(calls, sample, SEED)
    kills = 0
    for point in chosen:
        directory = fresh(tmp_path)
        mortal = Mortal(library, directory, start_process)
        mortal.die_at(point, subject.command(directory))
        mortal.die_at(second(point), subject.command(directory))
        assert not mortal.die_at(Point(0), subject.command(directory))
        kills += mortal.kills
        subject.assert_exact(directory, point)
    assert kills >= 0.8 * len(chosen)
    for name, value in {"calls": len(calls), "points": len(chosen), "kills": kills}.items():
        record_property(name, value)


@pytest.mark.bulk
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["disk full", "input/output error"])
@WHAT
def test_a_disk_that_fails_is_an_error_and_nothing_is_lost(
    what: str,
    error: int,
    library: Path,
    subject_of: Callable[..., Subject],
    tmp_path: Path,
    sample: int,
    start_process: Callable[..., Any],
) -> None:
    """From some call on nothing can be written; then there is room again."""
    subject = subject_of(what)
    calls = calls_of(library, tmp_path, subject.command, start_process)
    whole = [point for point in fault_points.points(calls, sample, SEED + error) if not point.torn]
    failures = 0
    for point in whole[: max(2, sample // 3)]:
        directory = fresh(tmp_path)
        mortal = Mortal(library, directory, start_process)
        said = mortal.fail_from(point, error, subject.command(directory))
        failures += bool(said)
        assert not said or "shop.duckdb" in said or "orders.ckpt" in said, said
        assert not mortal.die_at(Point(0), subject.command(directory))
        subject.assert_exact(directory, point)
    assert failures


@pytest.mark.bulk
@pytest.mark.timeout(1800)
@WHAT
def test_a_loss_of_power_at_any_call_loses_nothing_that_was_synced(
    what: str,
    library: Path,
    subject_of: Callable[..., Subject],
    tmp_path: Path,
    scale: Callable[[int], int],
    start_process: Callable[..., Any],
    record_property: Callable[[str, object], None],
) -> None:
    """The files are made anew as they may be when the power fails, and the process goes on with them."""
    # The journal then says what was committed at which call.
    subject = subject_of(what, log_among_files=True)
    first = fresh(tmp_path)
    Mortal(library, first, start_process).journal(subject.command(first), tmp_path / "journal")
    steps = power_loss.steps(tmp_path / "journal")
    chance = random.Random(SEED)
    losses = scale(60)
    for _ in range(losses):
        at = chance.randrange(1, len(steps) + 1)
        directory = fresh(tmp_path)
        disk = power_loss.Disk()
        for step in steps[:at]:
            disk.take(step)
        disk.lose_power(directory, chance)
        log = "".join(step.data.decode() for step in steps[:at] if step.name == "said.log")
        subject.log(directory).write_text(log if what == "store" else "", encoding="utf-8")
        assert not Mortal(library, directory, start_process).die_at(Point(0), subject.command(directory)), at
        subject.assert_exact(directory, at)
    record_property("calls", len(steps))
    record_property("losses", losses)


def assert_taken_at_least_once(seen: fault_points.Seen) -> None:
    """A run goes on behind what was committed, or behind what was being committed; and none is missing."""
    for rows, committed, in_doubt in zip(seen.runs, seen.committed, seen.in_doubt, strict=True):
        if rows:
            first = rows[0]
            assert first in (committed + 1, committed + in_doubt + 1)
            assert rows == list(range(first, rows[-1] + 1))
    assert max(rows[-1] for rows in seen.runs if rows) == ROWS


def put_and_delete(tables: Tables, table: str) -> None:
    """Changes to a few keys; numbers widen and attributes appear on the way."""
    for n in range(1, ROWS + 1):
        key = {"id": {"S": f"key {n % 7}"}}
        if n % 5 == 0:
            tables.dynamodb.delete_item(TableName=table, Key=key)
        else:
            number = str(n) if n < ROWS / 2 else f"{n}.5"
            tables.put(table, key | {"n": {"N": number}, f"attribute {n // 6}": {"S": f"change {n}"}})


def calls_of(
    library: Path, tmp_path: Path, command: Callable[[Path], list[str]], start: Callable[..., Any]
) -> list[str]:
    """What a run that nobody kills does to its files."""
    directory = fresh(tmp_path)
    calls = Mortal(library, directory, start).calls(command(directory), tmp_path / "trace")
    kinds = {call.split(" ")[0] for call in calls}
    assert any("write" in kind for kind in kinds)
    assert kinds & {"fsync", "fdatasync"}
    return calls


def second(point: Point) -> Point:
    """The one that goes on is killed too, somewhere in its first calls: recovering writes as well."""
    chance = random.Random(point.nth * 2 + point.torn)
    return Point(chance.randrange(1, 20), torn=chance.random() < 0.5)


def fresh(tmp_path: Path) -> Path:
    directory = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    directory.mkdir()
    return directory
