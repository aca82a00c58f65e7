"""Blocks: what is kept of consecutive points of a key, so that a curve need not read them.

A block of level L covers 64^L points, in order of arrival. Pure, and fast by C functions over slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..protocol.points import Number, name_of

WIDTH = 64
"""Points in a block of level 1, and blocks in one of the next level."""

Spot = tuple[int, Number, float, Number]
"""The `seq`, step, time and value of a point."""
Place = tuple[int, Number, float]
"""The same without the value."""


class Block(msgspec.Struct, array_like=True, gc=False):
    """Some consecutive points: the range of their steps and times, and the points that stand out.

    `mean` and the spots are of the finite points; the spots are None without one. `odd` has the first
    point of each kind that is not finite, by its name.
    """

    points: int
    finite: int
    mean: float
    least_step: Number
    greatest_step: Number
    least_time: float
    greatest_time: float
    first: Spot | None
    least: Spot | None
    greatest: Spot | None
    last: Spot | None
    odd: dict[str, Place] = {}

    def spots(self) -> list[Spot]:
        """The points that stand out, each once, in order of arrival."""
        found = {spot[0]: spot for spot in (self.first, self.least, self.greatest, self.last) if spot}
        for name, place in self.odd.items():
            found[place[0]] = (*place, float(name))
        return [found[seq] for seq in sorted(found)]


class Points(NamedTuple):
    """Consecutive points, by column."""

    seqs: Sequence[int]
    steps: Sequence[Number]
    times: Sequence[float]
    values: Sequence[Number]

    def spots(self) -> list[Spot]:
        return list(zip(self.seqs, self.steps, self.times, self.values, strict=True))

    def add(self, more: Points) -> None:
        """Add points, to columns that are lists."""
        for column, further in zip(self, more, strict=True):
            assert isinstance(column, list)
            column += further

    def at(self, places: list[int]) -> Points:
        seqs, steps, times, values = self
        return Points(
            [seqs[at] for at in places],
            [steps[at] for at in places],
            [times[at] for at in places],
            [values[at] for at in places],
        )

    def part(self, start: int, end: int) -> Points:
        return Points(
            self.seqs[start:end], self.steps[start:end], self.times[start:end], self.values[start:end]
        )


def block_of(points: Points) -> Block:
    """The block of some points, at least one."""
    seqs, steps, times, values = points
    count = len(seqs)
    mean = _mean(values)
    if mean is None:
        return _uneven_block(points)
    low, high = min(values), max(values)
    at_low, at_high = values.index(low), values.index(high)
    end = count - 1
    return Block(
        count,
        count,
        mean,
        min(steps),
        max(steps),
        min(times),
        max(times),
        (seqs[0], steps[0], times[0], values[0]),
        (seqs[at_low], steps[at_low], times[at_low], low),
        (seqs[at_high], steps[at_high], times[at_high], high),
        (seqs[end], steps[end], times[end], values[end]),
    )


def _mean(values: Sequence[Number]) -> float | None:
    """The mean; None if a value is not finite."""
    try:
        mean = math.fsum(values) / len(values)
    except OverflowError:
        # the sum is too large, the mean is not
        mean = math.fsum(value / len(values) for value in values)
    except ValueError:
        # infinities of both signs
        return None
    return mean if math.isfinite(mean) else None


def _uneven_block(points: Points) -> Block:
    """The block of points that are not all finite."""
    odd: dict[str, Place] = {}
    finite: list[int] = []
    for at, value in enumerate(points.values):
        if math.isfinite(value):
            finite.append(at)
        else:
            odd.setdefault(name_of(value), (points.seqs[at], points.steps[at], points.times[at]))
    if finite:
        block = block_of(points.at(finite))
        block.points = len(points.seqs)
        block.least_step, block.greatest_step = min(points.steps), max(points.steps)
        block.least_time, block.greatest_time = min(points.times), max(points.times)
        block.odd = odd
        return block
    ranges = (min(points.steps), max(points.steps), min(points.times), max(points.times))
    return Block(len(points.seqs), 0, 0.0, *ranges, None, None, None, None, odd)


def joined(one: Block | None, other: Block) -> Block:
    """The block of the points of two blocks, of which `one` came first."""
    if one is None:
        return other
    finite = one.finite + other.finite
    mean = 0.0
    if finite:
        # weights, because a sum may be too large for a double
        mean = one.mean * (one.finite / finite) + other.mean * (other.finite / finite)
    first, least, greatest = one.first, one.least, one.greatest
    if first is None or least is None or greatest is None:
        first, least, greatest = other.first, other.least, other.greatest
    elif other.least is not None and other.greatest is not None:
        # the earlier one of equal points
        least = other.least if other.least[3] < least[3] else least
        greatest = other.greatest if other.greatest[3] > greatest[3] else greatest
    return Block(
        one.points + other.points,
        finite,
        mean,
        min(one.least_step, other.least_step),
        max(one.greatest_step, other.greatest_step),
        min(one.least_time, other.least_time),
        max(one.greatest_time, other.greatest_time),
        first,
        least,
        greatest,
        other.last or one.last,
        {**other.odd, **one.odd} if one.odd or other.odd else {},
    )
