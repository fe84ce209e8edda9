"""`pytest --record FILE`: writes what ran, how big, how long and with which result, as a page of the docs."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, metavar="FILE", help="write the results as a Markdown page")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--record"):
        config.pluginmanager.register(Record(config.getoption("--record")), "record-page")


class Record:
    """Collects the reports of the tests' own phase, and failures of any phase."""

    def __init__(self, page: Path) -> None:
        self.page = page
        self.rows: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            # A test says what it did with `record_property("kills", 20)`.
            facts = ", ".join(f"{name}: {value}" for name, value in report.user_properties)
            self.rows.append(f"| `{report.nodeid}` | {facts} | {report.duration:.1f} s | {report.outcome} |")

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        result = "passed" if exitstatus == 0 else f"failed (exit code {int(exitstatus)})"
        self.page.write_text(
            "\n".join(
                [
                    "# The last full run of the bulk tests",
                    "",
                    "Written by `make test-long` when the simulation (`cargo test --test simulation`) has passed",
                    "with ten times its usual seeds; do not edit.",
                    "`make test` runs the same tests at a tenth of the size.",
                    "",
                    f"* When: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}",
                    f"* Where: {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, "
                    f"Python {sys.version.split()[0]}, the wheel built with Cargo's dev profile",
                    f"* Size: {'full' if os.environ.get('SHARDARROW_FULL') == '1' else 'a tenth'}",
                    f"* Result: {result}",
                    "",
                    "| test | what | time | result |",
                    "|---|---|---|---|",
                    *self.rows,
                    "",
                ]
            ),
            encoding="utf-8",
        )


def commit() -> str:
    """The commit that ran, and whether the sources differed from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
