"""Rows in aligned columns, cut to a terminal's width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

_MEASURED_ROWS = 1000
_WIDEST = 32


def grid(names: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> Iterator[str]:
    """A head and one line per row. The first rows decide how wide the columns are."""
    remaining = iter(rows)
    first = list(islice(remaining, _MEASURED_ROWS))
    widths = [max(map(len, column)) for column in zip(names, *first, strict=True)]
    widths = [min(widest, _WIDEST) for widest in widths]
    for row in chain([names], first, remaining):
        cells = (_cut(cell, room).ljust(room) for cell, room in zip(row, widths, strict=True))
        yield _cut("  ".join(cells).rstrip(), width)


def _cut(text: str, room: int) -> str:
    # A line break in a value would break the grid.
    text = text.replace("\n", "⏎").replace("\r", "")
    return text if len(text) <= room else f"{text[: max(room - 1, 0)]}…"
