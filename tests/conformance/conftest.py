"""How the services behave, as tests; SHARDARROW_TARGET names what they run against (the twin otherwise).

A behaviour is a test with one sentence as its docstring and a mark that says how it is known. The fake
AWS has all of them. Where an emulator differs is recorded in the file that SHARDARROW_OUTCOMES names.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from targets import TARGETS, Target

_numbers = count(1)

#: Until an emulator that works in the background has done what it was asked.
PATIENCE_SECONDS = 10.0


TARGET = os.environ.get("SHARDARROW_TARGET", "twin")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A target is asked only about services that it offers."""
    _, offered = TARGETS[TARGET]
    asked: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        mark = item.get_closest_marker("behaviour")
        asked[mark is None or mark.args[0] in offered].append(item)
    config.hook.pytest_deselected(items=asked[False])
    items[:] = asked[True]


def pytest_configure(config: pytest.Config) -> None:
    if path := os.environ.get("SHARDARROW_OUTCOMES"):
        config.pluginmanager.register(_Outcomes(Path(path)))


class _Outcomes:
    """What each behaviour came to: `null` where it holds, otherwise what was seen instead."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[str, str | None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            self._seen[name] = _brief(report)
        else:
            self._seen.setdefault(name, None)

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._seen, indent=1))


def _brief(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return (crash.message if crash else str(report.longrepr)).partition("\n")[0]


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    start, _ = TARGETS[TARGET]
    with start() as running:
        yield running


@pytest.fixture(scope="session")
def dynamodb(target: Target) -> Any:
    return target.client("dynamodb")


@pytest.fixture(scope="session")
def streams(target: Target) -> Any:
    return target.client("dynamodbstreams")


@pytest.fixture(scope="session")
def kinesis(target: Target) -> Any:
    return target.client("kinesis")


@pytest.fixture
def name() -> str:
    """A name that nothing else has."""
    return f"conformance-{next(_numbers)}"


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Any]:
    """`eventually(look)`: what `look()` returns once it is truthy."""

    def eventually(look: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (seen := look()):
            assert time.monotonic() < deadline, f"still {seen!r}"
            time.sleep(0.02)
        return seen

    return eventually
