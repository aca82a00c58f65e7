"""Series: the points of one key of one run as a flush keeps them: a summary, and open blocks.

Pure. `extend` adds what a flush has, and returns the blocks that are complete by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..protocol.metrics import Summary
from ..protocol.points import Point, shown
from .blocks import WIDTH, Block, Points, block_of, joined


class Additions:
    """The results of one key in a flush, in their order: the points, and how many others."""

    __slots__ = ("others", "points", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.points: list[Point] = []
        self.others = 0


class Tail(msgspec.Struct, array_like=True):
    """The points after the last complete block of each level.

    `blocks` begins with level 1: the block so far, None if it is empty. The block of a level has no
    points of the open blocks below it. `seqs` are those of level 1.
    """

    seqs: list[int] = []
    blocks: list[Block | None] = []


class CompleteBlock(NamedTuple):
    """The block number `at`, from 0, of its level; `seqs` of its points in level 1, else none."""

    level: int
    at: int
    block: Block
    seqs: list[int]


class Series(msgspec.Struct):
    summary: Summary
    tail: Tail

    @classmethod
    def empty(cls) -> Series:
        return cls(Summary(), Tail())

    def extend(self, added: Additions) -> list[CompleteBlock]:
        """Add results; returns the blocks that are complete now, lower levels first."""
        summary, tail = self.summary, self.tail
        summary.count += len(added.seqs) + added.others
        if not added.seqs:
            return []
        steps, times, values = zip(*added.points, strict=True)
        if None in steps:
            # without a step, a point counts as its position
            position = summary.points
            steps = tuple(position + at if step is None else step for at, step in enumerate(steps))
        points = Points(added.seqs, steps, times, values)
        complete: list[CompleteBlock] = []
        start, count = 0, len(added.seqs)
        if summary.first_step is None:
            summary.first_step = steps[0]
        while start < count:
            end = min(count, start + WIDTH - summary.points % WIDTH)
            part = points if end - start == count else points.part(start, end)
            block = block_of(part)
            self._note_extremes(block)
            summary.points += end - start
            tail.seqs += part.seqs
            if not tail.blocks:
                tail.blocks.append(None)
            tail.blocks[0] = joined(tail.blocks[0], block)
            if summary.points % WIDTH == 0:
                self._complete(complete)
            start = end
        summary.last_step = steps[-1]
        summary.last = shown(values[-1])
        return complete

    def _note_extremes(self, block: Block) -> None:
        summary, least, greatest = self.summary, block.least, block.greatest
        if least is None or greatest is None:
            return
        if summary.least is None or least[3] < summary.least:
            summary.least, summary.least_step = least[3], least[1]
        if summary.greatest is None or greatest[3] > summary.greatest:
            summary.greatest, summary.greatest_step = greatest[3], greatest[1]

    def _complete(self, complete: list[CompleteBlock]) -> None:
        """Close the block of level 1, and those of higher levels that it completes."""
        tail, blocks = self.tail, self.summary.points // WIDTH
        level, seqs = 1, tail.seqs
        tail.seqs = []
        while True:
            block = tail.blocks[level - 1]
            assert block is not None
            complete.append(CompleteBlock(level, blocks - 1, block, seqs))
            tail.blocks[level - 1] = None
            if len(tail.blocks) == level:
                tail.blocks.append(None)
            tail.blocks[level] = joined(tail.blocks[level], block)
            if blocks % WIDTH:
                return
            blocks //= WIDTH
            level += 1
            seqs = []


def offsets(seqs: Sequence[int]) -> list[int]:
    """The first one, and how far each other one is from it: shorter as text."""
    if not seqs:
        return []
    first = seqs[0]
    return [first, *(seq - first for seq in seqs[1:])]


def from_offsets(numbers: Sequence[int]) -> list[int]:
    if not numbers:
        return []
    first = numbers[0]
    return [first, *(first + number for number in numbers[1:])]
