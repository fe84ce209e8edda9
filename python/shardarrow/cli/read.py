"""`shardarrow read`: what a table holds now, on the screen or in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from shardarrow.cli.arguments import add_common, add_reading, add_source, reading_of, source_of
from shardarrow.cli.files import pyarrow, writer_for
from shardarrow.cli.grid import grid
from shardarrow.cli.screen import Screen
from shardarrow.cli.values import plain


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "read",
        help="read items or records: to the screen, CSV, JSON lines, Arrow IPC or Parquet",
    )
    add_source(parser)
    parser.add_argument(
        "out",
        metavar="OUT",
        nargs="?",
        type=Path,
        help="a file; its ending says the format: .csv, .jsonl, .ndjson, .arrow or .parquet",
    )
    parser.add_argument("--limit", type=int, metavar="…", help="the most rows")
    add_reading(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Reads, then writes the file whole or not at all."""
    pyarrow()
    write = writer_for(arguments.out) if arguments.out else None
    table = source_of(arguments).read(limit=arguments.limit, **reading_of(arguments)).to_pyarrow()
    if write is None:
        _show(table, screen)
        return 0
    write(table)
    screen.note(f"{table.num_rows:,} rows in {arguments.out}")
    return 0


def _show(table: Any, screen: Screen) -> None:
    """A grid on a terminal; elsewhere CSV, for the next program."""
    if screen.width is None:
        from shardarrow.cli.files import csv_lines

        lines = csv_lines(table)
    else:
        rows = (
            [plain(value) for value in row.values()]
            for batch in table.to_batches()
            for row in batch.to_pylist()
        )
        lines = grid(table.column_names, rows, screen.width)
    for line in lines:
        screen.say(line)
