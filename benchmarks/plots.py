"""Plots as SVG: bars of medians, with whiskers for the range. They follow the reader's colour scheme."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .measurement import middle

Bars = Sequence[tuple[str, Sequence[float]]]
"""Names, each with the values of all repeats."""

WIDTH, LEFT, RIGHT = 760, 250, 90
BAR, GAP, TITLE, GROUP = 16, 6, 26, 14

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.name { text-anchor: end }
.bar { fill: #9aa5b1 }
.own { fill: #c2570c }
.axis { stroke: #8c959f; stroke-width: 1 }
.range { stroke: #24292f; stroke-width: 1.5 }
.back { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 }
  .own { fill: #f08c4b }
  .axis { stroke: #6e7681 }
  .range { stroke: #e6edf3 }
  .back { fill: #0d1117 }
}
"""


def svg(title: str, groups: Sequence[tuple[str, Bars]]) -> str:
    """A plot with a group of bars for each figure; each group has a scale of its own, from 0."""
    parts, y = [], 8
    for figure, bars in groups:
        parts.append(f'<text class="title" x="8" y="{y + 14}">{escape(figure)}</text>')
        y += TITLE
        top = y
        most = max((max(values) for _, values in bars), default=1) or 1
        for name, values in bars:
            parts += _bar(name, values, most, y)
            y += BAR + GAP
        parts.append(f'<line class="axis" x1="{LEFT}" y1="{top - 4}" x2="{LEFT}" y2="{y}"/>')
        y += GROUP
    inside = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n'
        f'<rect class="back" width="{WIDTH}" height="{y}"/>\n{inside}\n</svg>\n'
    )


def _bar(name: str, values: Sequence[float], most: float, y: int) -> list[str]:
    width = WIDTH - LEFT - RIGHT
    median = middle(list(values))
    low, length, high = (LEFT + width * value / most for value in (min(values), median, max(values)))
    kind = "bar own" if name.startswith("Athanor") else "bar"
    centre = y + BAR / 2
    return [
        f'<text class="name" x="{LEFT - 8}" y="{y + 12}">{escape(name)}</text>',
        f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length - LEFT:.1f}" height="{BAR}"/>',
        f'<line class="range" x1="{low:.1f}" y1="{centre}" x2="{high:.1f}" y2="{centre}"/>',
        f'<text x="{high + 8:.1f}" y="{y + 12}">{number(median)}</text>',
    ]


def number(value: float) -> str:
    """Three digits that matter, and thousands apart."""
    if value >= 999.5:
        scale = 10 ** max(0, len(str(int(value))) - 3)
        return f"{round(value / scale) * scale:,}"
    return f"{value:.3g}"
