"""Series: the points of one key of one run as a flush keeps them: a summary, and open blocks.

Pure. `extend` adds what a flush has, and returns the blocks that are complete by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from itertools import count as counted
from operator import sub
from typing import Any, NamedTuple

import msgspec

from ..protocol.metrics import Summary
from ..protocol.points import Number, shown
from .blocks import FANOUT, WIDTH, Block, Points, block_of, finite_of, joined

pack = msgspec.msgpack.Encoder().encode
"""MessagePack, which has all floats, and costs half of what JSON costs."""
_parts_of = msgspec.msgpack.Decoder(
    list[tuple[list[int], list[Number], list[float], list[Number]]]
).decode
_ARRAY = b"\xdd"
"""What begins an array in MessagePack, before its length in four bytes."""
_open_blocks = msgspec.msgpack.Decoder(list[Block | None]).decode


class Additions:
    """The results of one key in a flush, in their order: the points, and how many others.

    `points` has the three parts of each `Point`, one after the other: they are met here while they
    are in the processor's cache, and no more by the time of the flush.
    """

    __slots__ = ("others", "points", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.points: list[Number | None] = []
        self.others = 0


class Tail(msgspec.Struct, array_like=True):
    """The points after the last complete block of level 1, and the open blocks, all of them encoded.

    `points` has a part for each flush: the four columns of its points. So a flush encodes what it
    adds, and no more. `blocks` is a list of the open blocks from level 2 on: each the block so far,
    None if it is empty, without the points of the open blocks below it.
    """

    parts: int = 0
    points: bytes = b""
    blocks: bytes = pack([])

    def add(self, points: Points) -> None:
        self.parts += 1
        self.points += pack(points)

    def open_points(self) -> Points:
        """The points, in columns that are lists."""
        points = Points([], [], [], [])
        for part in _parts_of(_ARRAY + self.parts.to_bytes(4, "big") + self.points):
            points.add(Points(*part))
        return points

    def open_blocks(self) -> list[Block | None]:
        """The open blocks from level 2 on."""
        return _open_blocks(self.blocks)


class CompleteBlock(NamedTuple):
    """The block number `at`, from 0, of its level; the `gaps` of its points in level 1, else none."""

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
        """Add results; returns the blocks that are complete now."""
        summary, tail, seqs = self.summary, self.tail, added.seqs
        summary.count += len(seqs) + added.others
        if not seqs:
            return []
        steps: list[Any] = added.points[0::3]
        times: list[Any] = added.points[1::3]
        values: list[Any] = added.points[2::3]
        if None in steps:
            # without a step, a point counts as its position
            position = summary.points
            steps = [position + at if step is None else step for at, step in enumerate(steps)]
        rest = summary.points % WIDTH
        self._note(steps, values)
        tail.add(Points(seqs, steps, times, values))
        return self._complete() if rest + len(seqs) >= WIDTH else []

    def _note(self, steps: Sequence[Number], values: Sequence[Number]) -> None:
        """Note the newest points in the summary."""
        summary = self.summary
        if summary.first_step is None:
            summary.first_step = steps[0]
        summary.points += len(steps)
        summary.last_step, summary.last = steps[-1], shown(values[-1])
        finite = finite_of(values)
        if not finite:
            return
        least, greatest = min(finite), max(finite)
        # the first one of equal points
        if summary.least is None or least < summary.least:
            summary.least, summary.least_step = least, steps[values.index(least)]
        if summary.greatest is None or greatest > summary.greatest:
            summary.greatest, summary.greatest_step = greatest, steps[values.index(greatest)]

    def _complete(self) -> list[CompleteBlock]:
        """Close the blocks of level 1 that have all their points, and those that they complete."""
        complete: list[CompleteBlock] = []
        points, open_blocks = self.tail.open_points(), self.tail.open_blocks()
        count = len(points.seqs)
        number, rest = (self.summary.points - count) // WIDTH, count % WIDTH
        for start in range(0, count - rest, WIDTH):
            part = points.part(start, start + WIDTH)
            block = block_of(part)
            complete.append(CompleteBlock(1, number, block, gaps(part.seqs)))
            number += 1
            complete += _further(open_blocks, number, block)
        self.tail = Tail(blocks=pack(open_blocks))
        if rest:
            self.tail.add(points.part(count - rest, count))
        return complete


def _further(open_blocks: list[Block | None], number: int, block: Block) -> list[CompleteBlock]:
    """Add `block`, with which level 1 has `number` of them, to the further levels.

    Returns the blocks that are complete by that.
    """
    complete: list[CompleteBlock] = []
    for level in counted(2):
        if len(open_blocks) == level - 2:
            open_blocks.append(None)
        open_blocks[level - 2] = block = joined(open_blocks[level - 2], block)
        number, rest = divmod(number, FANOUT)
        if rest:
            break
        complete.append(CompleteBlock(level, number - 1, block, []))
        open_blocks[level - 2] = None
    return complete


def gaps(seqs: Sequence[int]) -> list[int]:
    """The first of some growing numbers, and how far each other one is from the one before it."""
    return [seqs[0], *map(sub, seqs[1:], seqs)]


def from_gaps(numbers: Sequence[int]) -> list[int]:
    return list(accumulate(numbers))
