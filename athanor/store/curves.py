"""Curves from the database: each statement reads for all curves of a request, a bounded part."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec

from ..domain.blocks import Block
from ..domain.curves import Drawn, Node, Range, Span, Walk
from ..protocol.metrics import Axis, Curve, CurveQuery
from ..protocol.points import Number, Point, shown, value_of
from .metrics import tail_of
from .session import Session

READ_ROWS = 4000
"""Blocks or results that one statement reads: they are decoded in some 10 ms."""

_block_of = msgspec.msgpack.Decoder(Block).decode


class _StoredPoint(msgspec.Struct):
    value: msgspec.Raw
    step: Number | None
    timestamp: datetime


_point_of = msgspec.json.Decoder(_StoredPoint).decode


class _Subject(NamedTuple):
    """A key of a run, with its number of points, and the way to its curve."""

    run_id: str
    key: str
    points: int
    walk: Walk


async def read_curves(
    session: Session, query: CurveQuery, seqs: dict[str, int], most_rows: int
) -> list[Curve]:
    """The curves of keys that have points, by run and key, in the order of the query.

    `seqs` has the newest result of each run. About `most_rows` blocks and points are read.
    """
    subjects = await _subjects(session, query, most_rows)
    while wanted := [(at, span) for at, subject in enumerate(subjects) for span in subject.walk.wanted]:
        await _read_blocks(session, subjects, wanted)
    return [
        curve
        for run_id in query.run_ids
        for curve in await _curves(session, subjects, run_id, query.axis, seqs[run_id])
    ]


async def _subjects(session: Session, query: CurveQuery, most_rows: int) -> list[_Subject]:
    places = [(run_id, key) for run_id in query.run_ids for key in query.keys]
    listed, params = session.listed("tt", places)
    rows = await session.fetch(
        f"""
        SELECT run_id, key, points, {session.dialect.hex.format("tail")}
        FROM {listed} JOIN metrics ON run_id = c0 AND key = c1 WHERE points > 0""",
        params,
    )
    found = {(run_id, key): (points, tail) for run_id, key, points, tail in rows}
    within = Range(
        query.axis,
        -math.inf if query.start is None else query.start,
        math.inf if query.end is None else query.end,
    )
    share = most_rows // max(1, len(found))
    return [
        _Subject(*place, count, Walk(count, tail_of(tail), query.points, within, share))
        for place in places
        if place in found
        for count, tail in [found[place]]
    ]


async def _read_blocks(
    session: Session, subjects: list[_Subject], wanted: list[tuple[int, Span]]
) -> None:
    """Read the spans, and give them to their walks."""
    hex, found = session.dialect.hex, [list[Node]() for _ in wanted]
    for part in _parts(wanted):
        rows = [
            (number, subjects[at].run_id, subjects[at].key, *span[:3], int(span.with_seqs))
            for number, at, span in part
        ]
        listed, params = session.listed("ittiiii", rows)
        read = await session.fetch(
            f"""
            SELECT c0, level, block, CASE c6 WHEN 1 THEN {hex.format("seqs")} ELSE '' END,
                {hex.format("data")}
            FROM {listed} CROSS JOIN blocks
            WHERE run_id = c1 AND key = c2 AND level = c3 AND block BETWEEN c4 AND c5
            ORDER BY c0, block""",
            params,
        )
        for number, level, at, seqs, data in read:
            block = _block_of(bytes.fromhex(data))
            found[number].append(Node(level, at, block, bytes.fromhex(seqs)))
    taken: dict[int, list[list[Node]]] = {}
    for (at, _), nodes in zip(wanted, found, strict=True):
        taken.setdefault(at, []).append(nodes)
    for at, of in taken.items():
        subjects[at].walk.take(of)
        await asyncio.sleep(0)


def _parts(wanted: list[tuple[int, Span]]) -> Iterator[list[tuple[int, int, Span]]]:
    """The spans with their numbers, cut and put together to parts of `READ_ROWS` blocks at most."""
    part: list[tuple[int, int, Span]] = []
    room = READ_ROWS
    for number, (at, span) in enumerate(wanted):
        first = span.first
        while first <= span.last:
            last = min(span.last, first + room - 1)
            part.append((number, at, span._replace(first=first, last=last)))
            room -= last - first + 1
            first = last + 1
            if not room:
                yield part
                part, room = [], READ_ROWS
    if part:
        yield part


async def _curves(
    session: Session, subjects: list[_Subject], run_id: str, axis: Axis, seq: int
) -> list[Curve]:
    """The curves of a run. The results of all its keys are read together: they are neighbours."""
    of_run = [subject for subject in subjects if subject.run_id == run_id]
    wanted = sorted({seq for subject in of_run for seq in subject.walk.seqs})
    points: dict[int, Point] = {}
    for start in range(0, len(wanted), READ_ROWS):
        points |= await _read_points(session, run_id, wanted[start : start + READ_ROWS])
    curves = []
    for subject in of_run:
        curves.append(_curve(subject, subject.walk.drawn(points), axis, seq))
        await asyncio.sleep(0)
    return curves


def _curve(subject: _Subject, drawn: Drawn, axis: Axis, seq: int) -> Curve:
    return Curve(
        run_id=subject.run_id,
        key=subject.key,
        seq=seq,
        count=subject.points,
        x=[spot[1] if axis == "step" else spot[2] for spot in drawn.spots],
        y=[shown(spot[3]) for spot in drawn.spots],
        buckets=drawn.buckets,
    )


async def _read_points(session: Session, run_id: str, seqs: list[int]) -> dict[int, Point]:
    """The points of some results, by `seq`; those that are deleted are left out."""
    listed, params = session.listed("ii", _runs_of(seqs))
    rows = await session.entries(
        f"""
        SELECT seq, data FROM {listed} CROSS JOIN events
        WHERE run_id = ? AND type = 'run_result' AND seq BETWEEN c0 AND c1""",
        (*params, run_id),
    )
    points: dict[int, Point] = {}
    for seq, data in rows:
        result = _point_of(data)
        value = value_of(bytes(result.value))
        assert value is not None
        points[seq] = (result.step, result.timestamp.timestamp(), value)
    return points


def _runs_of(seqs: list[int]) -> list[tuple[int, int]]:
    """Growing numbers as pairs: the first and the last one of consecutive ones."""
    pairs: list[tuple[int, int]] = []
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq != last + 1:
            pairs.append((first, last))
            first = seq
        last = seq
    return [*pairs, (first, last)]
