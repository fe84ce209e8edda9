"""`shardarrow load`: a table's changes into a database."""

from __future__ import annotations

import argparse
from typing import Any

from shardarrow.cli.arguments import add_common, add_reading, add_source, reading_of, source_of
from shardarrow.cli.screen import Screen
from shardarrow.loaders import Report, load

_INTERRUPTED = 130


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "load", help="load a table's changes into a database, each exactly once"
    )
    add_source(parser)
    parser.add_argument(
        "destination", metavar="DESTINATION", help="duckdb:///FILE (relative) or duckdb:////FILE (absolute)"
    )
    parser.add_argument("--table", metavar="NAME", help="name or schema.name (default: the source's table)")
    parser.add_argument(
        "--mode",
        choices=("mirror", "append"),
        default="mirror",
        help="mirror: the table equals the source; append: every change is a row",
    )
    parser.add_argument("--once", action="store_true", help="load what is there now, then leave")
    parser.add_argument(
        "--load-interval", type=float, default=1.0, metavar="…", help="seconds between commits (1)"
    )
    parser.add_argument(
        "--lock-timeout", type=float, default=30.0, metavar="…", help="seconds to wait for the file (30)"
    )
    add_reading(parser)
    parser.add_argument(
        "--on-bad-record",
        choices=("fail", "quarantine"),
        default="fail",
        help="quarantine keeps a record that cannot be decoded in _shardarrow_quarantine",
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Loads until the end, or until a signal comes."""
    report = load(
        source_of(arguments),
        arguments.destination,
        table=arguments.table,
        mode=arguments.mode,
        load_interval=arguments.load_interval,
        lock_timeout=arguments.lock_timeout,
        progress=Progress(screen),
        follow=not arguments.once,
        on_bad_record=arguments.on_bad_record,
        **reading_of(arguments),
    )
    screen.say(repr(report))
    return _INTERRUPTED if report.stopped_by else 0


class Progress:
    """Tells how a load goes: changes, their rate, and how far it is behind."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._begun = False
        self._rows, self._at, self._rate = 0, 0.0, 0.0

    def __call__(self, report: Report, stream: Any) -> None:
        """Called by the loader after each turn."""
        if not self._begun:
            self._begun = True
            how = "goes on where it was" if report.resumed else f"starts at {report.start!r}"
            self._screen.note(f"{report.table} ({report.mode}): {how}")
        self._measure(report)
        lag = stream.metrics().get("lag_seconds")
        behind = "lag unknown" if lag is None else f"lag {lag:,.1f} s"
        self._screen.progress(f"{report.rows:,} changes, {self._rate:,.0f}/s, {behind}")

    def _measure(self, report: Report) -> None:
        """The rate since the last second or more."""
        if report.elapsed - self._at >= 1:
            self._rate = (report.rows - self._rows) / (report.elapsed - self._at)
            self._rows, self._at = report.rows, report.elapsed
