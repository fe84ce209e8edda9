"""Bars, as SVG: a label, a length, a value, and a line where the target is."""

from dataclasses import dataclass
from html import escape

WIDTH, LABEL, ROW, BAR = 900, 300, 26, 16


@dataclass(frozen=True)
class Bar:
    label: str
    value: float
    text: str
    target: float | None = None


def svg(title: str, bars: list[Bar]) -> str:
    """One bar below the other, all to one scale."""
    longest = max([bar.value for bar in bars] + [bar.target or 0 for bar in bars]) or 1
    scale = (WIDTH - LABEL - 140) / longest
    height = 40 + ROW * len(bars)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
    ]
    for number, bar in enumerate(bars):
        y = 36 + ROW * number
        length = max(bar.value * scale, 1)
        colour = "#3b7dd8" if bar.target is None or bar.value >= bar.target else "#c9772b"
        parts.append(
            f'<text x="{LABEL - 8}" y="{y + 13}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
            f'<text x="{LABEL + length + 6:.1f}" y="{y + 13}">{escape(bar.text)}</text>'
        )
        if bar.target is not None:
            x = LABEL + bar.target * scale
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 3}" x2="{x:.1f}" y2="{y + BAR + 3}" '
                'stroke="black" stroke-width="2"/>'
            )
    return "\n".join([*parts, "</svg>", ""])
