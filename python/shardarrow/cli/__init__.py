"""The command line: `shardarrow load`, `read`, `tail`, `shards`, `status`, `doctor`, `deregister` and `demo`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from shardarrow import _native
from shardarrow.cli import demo, deregister, doctor, load, read, shards, status, tail
from shardarrow.cli.screen import Screen
from shardarrow.errors import ShardArrowError, UsageError

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130
_COMMANDS = (load, read, tail, shards, status, doctor, deregister, demo)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leaves with exit code 2."""
        self.exit(WRONG_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


class CommandParser(Parser):
    """Takes flags between SOURCE and OUT too, where argparse would take OUT for missing."""

    _inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, but intermixed; argparse may come back here to do its part."""
        if self._inside:
            return super().parse_known_args(args, namespace)
        self._inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._inside = False


def build_parser() -> argparse.ArgumentParser:
    """Every command and flag."""
    parser = Parser(prog="shardarrow", description="DynamoDB Streams as Arrow record batches.")
    parser.add_argument("--version", action="version", version=f"shardarrow {_native.VERSION}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=CommandParser
    )
    for command in _COMMANDS:
        command.add(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line; the result is the exit code."""
    parsed = build_parser().parse_args(arguments)
    screen = Screen(verbose=getattr(parsed, "verbose", False))
    with screen:
        try:
            code: int = parsed.run(parsed, screen)
            sys.stdout.flush()
        except KeyboardInterrupt:
            return INTERRUPTED
        except BrokenPipeError:
            # Whoever read our output has seen enough. Python flushes again when it leaves.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except UsageError as error:
            screen.fail(error)
            return WRONG_USAGE
        except (ShardArrowError, ImportError, OSError) as error:
            screen.fail(error)
            return FAILED
    return code
