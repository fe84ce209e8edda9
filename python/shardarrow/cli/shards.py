"""`shardarrow shards`: the tree of a stream's shards, with their state."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from shardarrow.cli.arguments import add_common, add_source, source_of
from shardarrow.cli.screen import Screen
from shardarrow.cli.values import as_json
from shardarrow.loaders.report import counted
from shardarrow.shards import Shard


def add(commands: Any) -> None:
    """Describes the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "shards", help="show the shards of a stream as a tree, with their state"
    )
    add_source(parser)
    parser.add_argument("--as-json", action="store_true", help="each shard a JSON object")
    add_common(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, screen: Screen) -> int:
    """Lists the shards once."""
    found = source_of(arguments, start="earliest").shards()
    for line in map(_object, found) if arguments.as_json else tree(found):
        screen.say(line)
    still = sum(not shard.is_closed for shard in found)
    screen.note(f"{counted(len(found), 'shard')}, {still} open")
    return 0


def tree(shards: Sequence[Shard]) -> list[str]:
    """A line per shard; a child stands below its (first) parent, a step further in."""
    known = {shard.id for shard in shards}
    children: dict[str | None, list[Shard]] = {}
    for shard in shards:
        above = next((parent for parent in shard.parents if parent in known), None)
        children.setdefault(above, []).append(shard)
    lines: list[str] = []
    # Lineages are thousands of generations deep on a busy table: no recursion.
    waiting = [(shard, 0) for shard in reversed(children.get(None, []))]
    while waiting:
        shard, depth = waiting.pop()
        lines.append(_line(shard, depth, known))
        # An only child goes on where its parent stopped; only a split indents.
        below = children.get(shard.id, [])
        waiting += [(child, depth + (len(below) > 1)) for child in reversed(below)]
    return lines


def _line(shard: Shard, depth: int, known: set[str]) -> str:
    state = "closed" if shard.is_closed else "open"
    covers = f"{shard.starting_sequence or '?'} … {shard.ending_sequence or ''}".rstrip()
    parents = [parent if parent in known else f"{parent} (gone)" for parent in shard.parents]
    origin = f"  after {', '.join(parents)}" if parents else ""
    return f"{'  ' * depth}{shard.id}  {state:<6}  {covers}{origin}"


def _object(shard: Shard) -> str:
    return as_json(
        {
            "id": shard.id,
            "parents": list(shard.parents),
            "state": "closed" if shard.is_closed else "open",
            "starting_sequence": shard.starting_sequence,
            "ending_sequence": shard.ending_sequence,
        }
    )
