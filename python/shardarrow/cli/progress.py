"""How a load goes, in a line: while the table is scanned, and then as its changes come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shardarrow.cli.screen import Screen
from shardarrow.cli.values import span
from shardarrow.loaders import Report
from shardarrow.loaders.report import counted
from shardarrow.loaders.snapshot import done_of, scanned_of

# Below this many hours the time until changes are lost is worth a word.
_LOSS_IN_SIGHT = 12.0

# Changes that wait longer than this many seconds are worth one too.
_LONG_UNREAD = 60.0


class Progress:
    """Tells how a load goes: the scan while there is one, then changes, their rate and the lag."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = self._ready = False
        self._rows, self._at, self._rate = 0, 0.0, 0.0

    def __call__(self, report: Report, stream: Any) -> None:
        """Called by the loader after each turn."""
        if not self._begun:
            self._begun = True
            self._ready = report.ready
            how = "goes on where it was" if report.resumed else f"starts at {report.start!r}"
            self._screen.note(f"{report.table} ({report.mode}): {how}")
        if report.snapshot and report.ready != self._ready:
            self._ready = report.ready
            self._screen.note(f"{report.table}: {report.snapshot.name} {report.snapshot.summary}")
        self._measure(report)
        metrics = stream.metrics()
        snapshot = metrics.get("snapshot")
        # The loader is the one who knows: the scan may be done while its rows are not written yet.
        if snapshot and not report.ready:
            self._screen.progress(", ".join(_scan(snapshot, metrics["unread_seconds"], self._rate)))
        else:
            # Scanned items are rows too, so with a snapshot not every row was a change.
            rows = counted(report.rows, "row" if report.snapshot else "change")
            self._screen.progress(f"{rows}, {self._rate:,.0f}/s, {_lag(metrics)}")

    def _measure(self, report: Report) -> None:
        """The rate since the last second or more."""
        if report.elapsed - self._at >= 1:
            self._rate = (report.rows - self._rows) / (report.elapsed - self._at)
            self._rows, self._at = report.rows, report.elapsed


def _scan(snapshot: Mapping[str, Any], unread: float | None, rate: float) -> Iterator[str]:
    """The parts of the line while a snapshot runs."""
    yield scanned_of(snapshot["scanned"], snapshot["items"])
    if snapshot["segments"] > 1:
        yield done_of(snapshot["segments_done"], snapshot["segments"])
    yield f"{rate:,.0f}/s"
    match snapshot["slice"]:
        case "scanning":
            if snapshot["seconds_left"] is not None:
                yield f"about {span(snapshot['seconds_left'])} left"
            if unread is not None and unread > _LONG_UNREAD:
                yield f"changes of the last {span(unread)} wait in the stream"
        case "draining":
            yield "reading the changes made meanwhile"
        case _:
            yield "reading the changes made up to its end"
    hours = snapshot["hours_to_loss"]
    if hours is not None and hours < _LOSS_IN_SIGHT:
        yield f"the stream loses changes in {span(hours * 3600)}"


def _lag(metrics: Mapping[str, Any]) -> str:
    lag = metrics.get("lag_seconds")
    return "lag unknown" if lag is None else f"lag {lag:,.1f} s"
