"""Fixtures for every test: services on loopback, and an environment without the user's AWS settings."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services import ROOT, Tables, Twin
from shardarrow.demo.emulator import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Emulator

pytest_plugins = ["no_skips", "record"]

FULL = os.environ.get("SHARDARROW_FULL") == "1"


def pytest_configure() -> None:
    """Take what this process inherited away from the tests and from the processes they start.

    That is the user's AWS settings and proxies, and a SIGINT that is ignored because a shell started
    the tests in the background: an ignored signal stays ignored in every child.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(
        AWS_ACCESS_KEY_ID=ACCESS_KEY_ID,
        AWS_SECRET_ACCESS_KEY=SECRET_ACCESS_KEY,
        AWS_REGION=REGION,
        AWS_DEFAULT_REGION=REGION,
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_EC2_METADATA_DISABLED="true",
    )


@pytest.fixture(scope="session")
def scale() -> Callable[[int], int]:
    """`scale(100_000)`: whole under SHARDARROW_FULL=1, a tenth otherwise."""
    return lambda size: size if FULL else max(1, size // 10)


@pytest.fixture(scope="session")
def emulator_python() -> Path:
    """The interpreter that has ministack."""
    ours = ROOT / ".venv-emulator" / "bin" / "python"
    python = Path(os.environ.get("SHARDARROW_EMULATOR_PYTHON", ours))
    if not python.exists():
        pytest.fail(f"{python} is missing; run `make python-ready`", pytrace=False)
    return python


@pytest.fixture(scope="session")
def emulator(emulator_python: Path) -> Iterator[Emulator]:
    """ministack, shared by all tests: `endpoint_url`, `environment()`, `client(service)`."""
    with Emulator(emulator_python) as running:
        yield running


@pytest.fixture
def tables(emulator: Emulator) -> Iterator[Tables]:
    """Tables on the emulator that are deleted after the test."""
    tables = Tables(emulator)
    yield tables
    tables.close()


@pytest.fixture
def make_table(tables: Tables) -> Callable[..., str]:
    """`make_table("orders", {"pk": "S", "sk": "N"}, view="NEW_IMAGE")` → the name."""
    return tables.make


@pytest.fixture(scope="session")
def twin_binary() -> Path:
    """The fake AWS, built before the tests start."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    binary = Path(os.environ.get("SHARDARROW_TWIN", target / "debug" / "twin"))
    if not binary.exists():
        pytest.fail(f"{binary} is missing; run `cargo build -p twin --bin twin`", pytrace=False)
    return binary


@pytest.fixture
def twin(twin_binary: Path) -> Iterator[Twin]:
    """A fake AWS of its own for each test: virtual time, rollovers, faults."""
    with Twin(twin_binary) as running:
        yield running


@pytest.fixture
def start_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start_process("shardarrow", "load", …)`: its output is kept; it is killed if the test leaves it."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str | Path, **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([str(part) for part in command], **(pipes | options))
        started.append(process)
        return process

    yield start
    for process in started:
        with process:
            process.kill()
