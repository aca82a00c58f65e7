"""docs/performance.md: the part of it that a run of the benchmarks writes, and its plots."""

from __future__ import annotations

import textwrap
from pathlib import Path

from .machine import Machine
from .measurement import Measurement, Result, Target, middle
from .plots import number, svg

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks -->", "<!-- end of what it writes -->"
WIDTH = 100

Results = dict[str, tuple[Measurement, Result]]


def write(path: Path, machine: Machine, results: Results) -> None:
    """Write the document and its plots; the text around the tables is that of the repository's own."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    plots = path.parent / path.stem
    plots.mkdir(parents=True, exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    for name, (measurement, result) in results.items():
        if result.values:
            (plots / f"{name}.svg").write_text(plot(measurement, result))
    path.write_text(f"{before}{BEGIN}\n\n{tables(machine, results, path.stem)}\n{END}{after}")


def plot(measurement: Measurement, result: Result) -> str:
    """A group of bars for each figure; and for each word before a colon in the parties' names."""
    groups: dict[str, list[tuple[str, list[float]]]] = {}
    for figure in measurement.plotted:
        for name, figures in result.values.items():
            if figure in figures:
                before, colon, _ = name.partition(": ")
                group = f"{figure} ({before.removeprefix('Athanor, ')})" if colon else figure
                groups.setdefault(group, []).append((name, figures[figure]))
    return svg(measurement.title, list(groups.items()))


def tables(machine: Machine, results: Results, folder: str) -> str:
    """Markdown: the machine, what is to be reached, and the figures of each measurement."""
    parts = [_wrapped(machine.sentence()), _summary(results)]
    for name, (measurement, result) in results.items():
        parts.append(f"### {measurement.title}")
        if measurement.text:
            parts.append(_wrapped(measurement.text))
        if result.values:
            parts.append(f"![{measurement.title}]({folder}/{name}.svg)")
            parts.append(_figures(result))
        left_out = [f"{party}: {reason}." for party, reason in result.skipped.items()]
        if left_out:
            parts.append(_wrapped("Left out: " + " ".join(_plain(text) for text in left_out)))
    return "\n\n".join(parts) + "\n"


def _summary(results: Results) -> str:
    rows = ["| what | measured | bound | |", "| --- | --- | --- | --- |"]
    for measurement, result in results.values():
        for target in measurement.targets:
            rows.append(_target(target, result.targets.get(target.what, [])))
    return "\n".join(rows)


def _target(target: Target, values: list[float]) -> str:
    if not values:
        return f"| {target.what} | not measured | {target.bound} | |"
    reached = "reached" if target.holds(middle(values)) else "**not reached**"
    return f"| {target.what} | {spread(values)} | {target.bound} | {reached} |"


def _figures(result: Result) -> str:
    names: list[str] = []
    for figures in result.values.values():
        names += [figure for figure in figures if figure not in names]
    rows = [f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for party, figures in result.values.items():
        cells = (spread(figures[name]) if name in figures else "" for name in names)
        rows.append(f"| {party} | {' | '.join(cells)} |")
    return "\n".join(rows)


def spread(values: list[float]) -> str:
    """The median, and the range in parentheses."""
    median = number(middle(values))
    low, high = number(min(values)), number(max(values))
    return median if low == high else f"{median} ({low} to {high})"


def _plain(text: str) -> str:
    """A message of another program, without what Markdown would read in it."""
    return "".join(" " if character in "|`[]<>*_" else character for character in text)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=True, break_on_hyphens=False)
