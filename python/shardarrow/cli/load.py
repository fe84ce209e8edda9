"""`shardarrow load`: a table's changes into a database."""

from __future__ import annotations

import argparse
from typing import Any

from shardarrow.cli.arguments import add_common, add_reading, add_source, reading_of, source_of
from shardarrow.cli.progress import Progress
from shardarrow.cli.screen import Screen
from shardarrow.loaders import load

_INTERRUPTED = 130


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "load", help="load changes or records into a database, each exactly once, or into a Kinesis stream"
    )
    add_source(parser)
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        help="duckdb:///FILE (relative), duckdb:////FILE (absolute), or kinesis://STREAM?checkpoint=FILE&…",
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
