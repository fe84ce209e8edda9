"""`shardarrow tail`: changes as they come, one line each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from shardarrow.cli.arguments import add_common, add_reading, add_source, reading_of, source_of
from shardarrow.cli.files import pyarrow
from shardarrow.cli.screen import Screen
from shardarrow.cli.values import as_json, json_columns, json_lines, plain

_METADATA = ("op", "time", "shard", "sequence", "event_id", "ttl")


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "tail", help="show changes as they come, one line each, from now on or from --start"
    )
    add_source(parser)
    parser.add_argument("--as-json", action="store_true", help="each line a JSON object")
    parser.add_argument("--once", action="store_true", help="show what is there now, then leave")
    add_reading(parser)
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Shows changes until somebody interrupts."""
    pyarrow()
    source = source_of(arguments, start="latest")
    with source.stream(follow=not arguments.once, **reading_of(arguments)) as stream:
        for batch in stream:
            rows = batch.to_pyarrow()
            for line in json_lines(rows) if arguments.as_json else _lines(rows, source.metadata_prefix):
                screen.say(line)
            screen.flush()
    return 0


def _lines(batch: Any, prefix: str) -> Iterator[str]:
    hidden = {f"{prefix}{name}" for name in _METADATA}
    bare = json_columns(batch.schema)
    for row in batch.to_pylist():
        when, what = plain(row.get(f"{prefix}time")), plain(row.get(f"{prefix}op"))
        expired = " (expired)" if row.get(f"{prefix}ttl") else ""
        values = (
            f"{name}={_value(row[name], name in bare)}"
            for name in row
            if name not in hidden and row[name] is not None
        )
        yield f"{when or '-':<20} {what}{expired} {' '.join(values)}"


def _value(value: Any, is_json: bool) -> str:
    """Bare where that is clear, in quotes where a space or a line break would not be."""
    text = plain(value)
    if is_json:
        return text
    return (
        as_json(text)
        if isinstance(value, str) and (not text.isprintable() or " " in text or not text)
        else text
    )
