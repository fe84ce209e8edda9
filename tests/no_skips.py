"""A test that skips fails, unless it is marked `optional`: what was not tested must not look tested."""

from collections.abc import Generator

import pytest

RULE = "A required test runs or fails."


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    expected = hasattr(report, "wasxfail") or item.get_closest_marker("optional")
    if report.skipped and not expected:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped: {report.longrepr[2]}. {RULE}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A whole module that skips itself is reported when it is collected."""
    report = yield
    if report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skipped: {report.longrepr[2]}. {RULE}"
    return report
