"""Blocks: what is kept of consecutive points of a key, so that a curve need not read them.

A block of level 1 covers 64 points, in order of arrival, and one of a further level 2 blocks of the
level before. Pure, and fast by C functions over slices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..protocol.points import Number, name_of

WIDTH = 64
"""Points in a block of level 1."""
FANOUT = 2
"""Blocks in a block of the next level.

A curve reads enough blocks of one level, and so up to `FANOUT` times enough. With 64, a curve of 10
million points took nine times as long as one of 10,000; with 8, one of 300,000 points 2.4 times.
"""

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

    def copy(self) -> Points:
        """The same points, in columns that are lists of their own."""
        return Points(list(self.seqs), list(self.steps), list(self.times), list(self.values))

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
    # what is in order already is sorted faster than its least and greatest are found
    in_order, by_time = sorted(steps), sorted(times)
    return Block(
        count,
        count,
        mean,
        in_order[0],
        in_order[-1],
        by_time[0],
        by_time[-1],
        (seqs[0], steps[0], times[0], values[0]),
        (seqs[at_low], steps[at_low], times[at_low], low),
        (seqs[at_high], steps[at_high], times[at_high], high),
        (seqs[-1], steps[-1], times[-1], values[-1]),
    )


def finite_of(values: Sequence[Number]) -> Sequence[Number]:
    """The values that are finite: all of them as a rule, and found so by one addition."""
    if math.isfinite(sum(values)):
        return values
    return [value for value in values if math.isfinite(value)]


def _mean(values: Sequence[Number]) -> float | None:
    """The mean; None if a value is not finite."""
    total = sum(values)
    if math.isfinite(total):
        return total / len(values)
    if not all(map(math.isfinite, values)):
        return None
    # the sum is too large for a double, the mean is not
    return math.fsum(value / len(values) for value in values)


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
