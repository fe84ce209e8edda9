"""`shardarrow demo`: the story of a table and its mirror."""

from __future__ import annotations

import argparse
from typing import Any

from shardarrow.cli.arguments import add_common
from shardarrow.cli.screen import Screen


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo", help="mirror a changing table into DuckDB, kill the loader on the way, compare every row"
    )
    add_common(parser)
    parser.set_defaults(run=run)


def run(_arguments: argparse.Namespace, _screen: Screen) -> int:
    """Runs the demo; its packages are imported only for it."""
    from shardarrow.demo import run as tell

    return tell()
