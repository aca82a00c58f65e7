"""A measurement: what is run side by side, and what the figures have to be."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from .harness import Figures

Party = Callable[[], Figures] | str
"""One turn of one that is measured; or the reason why it is left out."""
Turn = Mapping[str, Figures]
"""The figures of all parties in one repeat."""

LONGEST = 480.0
"""Seconds after which a measurement begins no further repeat."""


@dataclass(frozen=True)
class Scale:
    """How much is measured; with `quick`, everything runs in a small size."""

    quick: bool

    def of(self, full: int, quick: int) -> int:
        return quick if self.quick else full


@dataclass(frozen=True)
class Target:
    """A bound of a figure, computed from the parties' figures of one repeat."""

    what: str
    value: Callable[[Turn], float]
    least: float | None = None
    most: float | None = None

    def holds(self, value: float) -> bool:
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)

    @property
    def bound(self) -> str:
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"


@dataclass(frozen=True)
class Measurement:
    """`parties` prepares what is measured, and names it; `plotted` are the figures of its plot."""

    name: str
    title: str
    text: str
    parties: Callable[[Scale], AbstractContextManager[dict[str, Party]]]
    targets: list[Target]
    plotted: list[str]


@dataclass
class Result:
    """The values of each figure of each party, one for each repeat; and who was left out, and why."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    targets: dict[str, list[float]] = field(default_factory=dict)
    failed: bool = False
    seconds: float = 0.0


def measure(
    measurement: Measurement, scale: Scale, repeats: int, announce: Callable[[str], None]
) -> Result:
    """Let the parties take turns. One that fails is left out; the others go on."""
    result = Result()
    turns: list[dict[str, Figures]] = [{} for _ in range(repeats)]
    began = time.monotonic()
    try:
        with measurement.parties(scale) as parties:
            runs: dict[str, Callable[[], Figures]] = {}
            for name, party in parties.items():
                if isinstance(party, str):
                    result.skipped[name] = party
                else:
                    runs[name] = party
            for number, turn in enumerate(turns):
                if time.monotonic() > began + LONGEST:
                    result.skipped[f"repeats from number {number + 1} on"] = f"{LONGEST:g} s were over"
                    break
                # each party is first in every other turn
                for name in sorted(runs, key=list(runs).index, reverse=number % 2 == 1):
                    announce(f"{measurement.name}: {name}, {number + 1} of {repeats}")
                    try:
                        turn[name] = runs[name]()
                    except Exception as error:
                        result.skipped[name] = f"failed: {_first_line(error)}"
                        result.failed |= name.startswith("Athanor")
                        del runs[name]
    except Exception as error:
        result.skipped["Athanor"] = f"failed: {_first_line(error)}"
        result.failed = True
    for turn in turns:
        for name, figures in turn.items():
            for figure, value in figures.items():
                result.values.setdefault(name, {}).setdefault(figure, []).append(value)
    result.targets = {target.what: _ratios(target, turns) for target in measurement.targets}
    result.seconds = time.monotonic() - began
    return result


def _ratios(target: Target, turns: list[dict[str, Figures]]) -> list[float]:
    """The target's value in each repeat in which all that it needs was measured."""
    found = []
    for turn in turns:
        try:
            found.append(target.value(turn))
        except (KeyError, ValueError, ZeroDivisionError):
            continue
    return found


def _first_line(error: Exception) -> str:
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return text if len(text) <= 200 else f"{text[:200]}…"


def middle(values: list[float]) -> float:
    return statistics.median(values)
