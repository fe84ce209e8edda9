"""`shardarrow deregister`: removes the consumer of an enhanced fan-out."""

from __future__ import annotations

import argparse
from typing import Any

from shardarrow.cli.arguments import add_common, add_source, source_of
from shardarrow.cli.screen import Screen
from shardarrow.errors import UsageError


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "deregister", help="remove the consumer that fan_out names from its Kinesis stream"
    )
    add_source(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Removes it; one that is not there is as good as removed."""
    source = source_of(arguments, start="earliest")
    if source.fan_out is None:
        raise UsageError('deregister needs a source with fan_out, such as "kinesis://clicks?fan_out=app"')
    source.deregister()
    screen.note(f"consumer {source.fan_out} of {source._kinesis_stream} is deregistered")
    return 0
