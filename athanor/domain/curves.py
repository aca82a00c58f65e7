"""Curves: the blocks and points that a curve is drawn from, and the buckets they are put into.

Pure. `store/curves.py` reads what a `Walk` wants, until it wants nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from ..protocol.metrics import Axis, Bucket
from ..protocol.points import Number, Point
from .blocks import FANOUT, WIDTH, Block, Points, Spot, block_of, joined
from .series import Tail, from_gaps

PER_BUCKET = 4
"""The finite points that a bucket lists: the first, least, greatest and last."""
FEWER = 2
"""A curve may have so many times fewer buckets than it may have at most."""

_seqs_of = msgspec.msgpack.Decoder(list[int]).decode


class Node(NamedTuple):
    """A part of a curve: the block number `at`, from 0, of its level, which may be open.

    In level 0 it is a block of level 1 whose points are wanted. `seqs` are theirs, encoded.
    """

    level: int
    at: int
    block: Block
    seqs: bytes


class Span(NamedTuple):
    """The complete blocks number `first` to `last` of a level, perhaps with their `seqs`."""

    level: int
    first: int
    last: int
    with_seqs: bool

    @property
    def size(self) -> int:
        return self.last - self.first + 1


class Range(NamedTuple):
    """A part of an axis, its ends included."""

    axis: Axis
    start: float = -math.inf
    end: float = math.inf

    @property
    def is_all(self) -> bool:
        return self.start == -math.inf and self.end == math.inf

    def touches(self, block: Block) -> bool:
        """Whether the block may have points in the range."""
        low, high = self._edges(block)
        return low <= self.end and high >= self.start

    def covers(self, block: Block) -> bool:
        low, high = self._edges(block)
        return low >= self.start and high <= self.end

    def part_of(self, points: Points) -> Points:
        """The points in the range."""
        places = points.steps if self.axis == "step" else points.times
        if not places or (min(places) >= self.start and max(places) <= self.end):
            return points
        kept = [at for at, place in enumerate(places) if self.start <= place <= self.end]
        return points.at(kept)

    def _edges(self, block: Block) -> tuple[Number, Number]:
        if self.axis == "step":
            return block.least_step, block.greatest_step
        return block.least_time, block.greatest_time


class Drawn(NamedTuple):
    """The points to draw, and their buckets; None if every point of the range is there."""

    spots: list[Spot]
    buckets: list[Bucket] | None


class Walk:
    """The way from a key's coarse blocks down to those that a curve of `points` points needs.

    `count` and `tail` are the key's. The walk reads `most_rows` blocks and points at most, and
    `points` more. `wanted` are the blocks to read next, for `take`. If there are none, `seqs` are the
    results to read, for `drawn`.
    """

    def __init__(self, count: int, tail: Tail, points: int, within: Range, most_rows: int) -> None:
        self._count = count
        self._tail = tail
        self._newest = tail.open_points()
        self._points = points
        self._most_buckets = max(1, points // PER_BUCKET)
        self._least_buckets = max(1, self._most_buckets // FEWER)
        self._within = within
        self._left = most_rows + points
        level = self._first_level()
        self._nodes = self._open_nodes(level)
        self._targets: list[int] | None = None
        """The nodes that the wanted blocks take the place of; None: they come before all nodes."""
        self.wanted = self._spans(level, 0, count // _size_of(level))
        if not self.wanted:
            self._descend()

    def _first_level(self) -> int:
        """The coarsest level that has enough blocks; of a part of the curve only, the coarsest one."""
        level, enough = 1, self._least_buckets if self._within.is_all else 1
        while self._count // _size_of(level + 1) >= enough:
            level += 1
        while self._count // _size_of(level) > self._left:
            level += 1
        return level

    def _open_nodes(self, level: int) -> list[Node]:
        """The points after the last complete block of a level: the coarsest open blocks come first."""
        blocks: list[Block | None] = [None, *self._tail.open_blocks()]
        if self._newest.seqs:
            blocks[0] = block_of(self._newest)
        return [
            Node(open_level, self._count // _size_of(open_level), block, b"")
            for open_level, block in reversed(list(enumerate(blocks[:level], 1)))
            if block is not None
        ]

    def _spans(self, level: int, first: int, end: int) -> list[Span]:
        # the points of blocks are read where these are too few, or where the curve has an end in one
        is_enough = self._count > self._points and self._count // WIDTH >= self._least_buckets
        with_seqs = not (self._within.is_all and is_enough)
        return [Span(level, first, end - 1, with_seqs)] if end > first else []

    def take(self, found: list[list[Node]]) -> None:
        """The blocks of each of the spans that were `wanted`."""
        self._left -= sum(map(len, found))
        if self._targets is None:
            self._nodes = [*found[0], *self._nodes]
        else:
            parts = dict(zip(self._targets, found, strict=True))
            self._nodes = [part for at, node in enumerate(self._nodes) for part in parts.get(at, (node,))]
        self._descend()

    def _descend(self) -> None:
        """Find out which blocks to replace by finer ones, and want these."""
        self.wanted = []
        while not self.wanted:
            self._nodes = [node for node in self._nodes if self._within.touches(node.block)]
            for chosen in (self._too_coarse(), self._at_the_edges()):
                targets = self._coarsest(chosen)
                cost = sum(self._size(self._nodes[at]) for at in targets)
                if targets and cost <= self._left:
                    break
            else:
                return
            if self._nodes[targets[0]].level > 1:
                self._targets = targets
                self.wanted = [self._parts(self._nodes[at]) for at in targets]
            else:
                self._left -= cost
                for at in targets:
                    self._nodes[at] = self._nodes[at]._replace(level=0)

    def _too_coarse(self) -> list[int]:
        """All blocks, if there are too few of them, or if all of their points are wanted."""
        points = sum(node.block.points for node in self._nodes)
        fineness = sum(1 if node.level else node.block.points for node in self._nodes)
        if fineness >= self._least_buckets and points > self._points:
            return []
        return [at for at, node in enumerate(self._nodes) if node.level]

    def _at_the_edges(self) -> list[int]:
        """The blocks of which a part is in the range."""
        if self._within.is_all:
            return []
        return [
            at
            for at, node in enumerate(self._nodes)
            if node.level and not self._within.covers(node.block)
        ]

    def _coarsest(self, places: list[int]) -> list[int]:
        level = max((self._nodes[at].level for at in places), default=0)
        return [at for at in places if self._nodes[at].level == level]

    def _size(self, node: Node) -> int:
        """The number of its parts: of finer blocks, or of points."""
        return node.block.points // (1 if node.level == 1 else _size_of(node.level - 1))

    def _parts(self, node: Node) -> Span:
        first = node.at * FANOUT
        return Span(node.level - 1, first, first + self._size(node) - 1, True)

    @property
    def seqs(self) -> list[int]:
        """The `seq` of each result whose point is to be read."""
        return [seq for node in self._nodes if not node.level and node.seqs for seq in _seqs(node)]

    def drawn(self, found: Mapping[int, Point]) -> Drawn:
        """The curve. `found` are the points by `seq`; a block stands in where some are deleted."""
        parts: list[Points | Block] = []
        for node in self._nodes:
            points = self._points_of(node, found)
            if points is None:
                parts.append(node.block)
            elif parts and isinstance(parts[-1], Points):
                parts[-1].add(points)
            else:
                parts.append(points)
        sizes = [part.points if isinstance(part, Block) else len(part.seqs) for part in parts]
        total = sum(sizes)
        if total <= self._points and not any(isinstance(part, Block) for part in parts):
            spots = [spot for part in parts if isinstance(part, Points) for spot in part.spots()]
            return Drawn(spots, None)
        return self._in_buckets(parts, total)

    def _points_of(self, node: Node, found: Mapping[int, Point]) -> Points | None:
        """The points of a node in the range; None for a block, and if some of them are deleted."""
        if node.level:
            return None
        if not node.seqs:
            return self._within.part_of(self._newest.copy())
        seqs = _seqs(node)
        try:
            points = [found[seq] for seq in seqs]
        except KeyError:
            return None
        steps, times, values = zip(*points, strict=True)
        if None in steps:
            first = node.at * WIDTH
            steps = tuple(first + at if step is None else step for at, step in enumerate(steps))
        return self._within.part_of(Points(list(seqs), list(steps), list(times), list(values)))

    def _in_buckets(self, parts: list[Points | Block], total: int) -> Drawn:
        """Put the parts into buckets by position: of about as many points each."""
        buckets: list[Bucket] = []
        spots: list[Spot] = []
        place, current, block = 0, 0, None
        for part in parts:
            for piece in self._pieces(part, place, total):
                bucket = place * self._most_buckets // total
                if block is not None and bucket != current:
                    _close(block, spots, buckets)
                    block = None
                current, block = bucket, joined(block, piece)
                place += piece.points
        if block is not None:
            _close(block, spots, buckets)
        return Drawn(spots, buckets)

    def _pieces(self, part: Points | Block, place: int, total: int) -> Iterator[Block]:
        """A part that begins at the position `place`, cut where a bucket ends if it is points."""
        if isinstance(part, Block):
            yield part
            return
        start, size = 0, len(part.seqs)
        while start < size:
            bucket = (place + start) * self._most_buckets // total
            # the first position of the next bucket
            following = -((bucket + 1) * total // -self._most_buckets)
            end = min(size, following - place)
            yield block_of(part.part(start, end))
            start = end


def _seqs(node: Node) -> list[int]:
    return from_gaps(_seqs_of(node.seqs))


def _size_of(level: int) -> int:
    """The points of a complete block."""
    return WIDTH * int(FANOUT ** (level - 1))


def _close(block: Block, spots: list[Spot], buckets: list[Bucket]) -> None:
    """End a bucket, which has the points of `block`."""
    listed = block.spots()
    spots += listed
    buckets.append(Bucket(len(listed), block.points, block.mean if block.finite else None))
