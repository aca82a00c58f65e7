"""Metrics and curves as pure code: whatever is reported, they equal what all points together give."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athanor.domain import curves, series
from athanor.domain.blocks import Block, Spot
from athanor.domain.curves import Drawn, Node, Range, Span, Walk
from athanor.domain.series import Additions, Series
from athanor.protocol.entries import EncodedReports, RawResultInput
from athanor.protocol.inputs import checked
from athanor.protocol.metrics import Axis, Summary
from athanor.protocol.points import Number, name_of, value_of

WIDTH, FANOUT = 4, 3
"""The sizes of blocks in these tests, so that a few hundred points have several levels."""
MANY = 10**9


@pytest.fixture(autouse=True, scope="module")
def narrow_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (series, curves):
            patch.setattr(module, "WIDTH", WIDTH)
            patch.setattr(module, "FANOUT", FANOUT)
        yield


class Stored(NamedTuple):
    """What a database has of a key: the summary, the open blocks, the complete ones, the results."""

    series: Series
    blocks: dict[tuple[int, int], tuple[Block, list[int]]]
    points: dict[int, Any]


FINITE = st.one_of(
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-3, 3),
    st.sampled_from([1.7e308, -1.7e308, 0.0, -0.0]),
)
VALUES = st.one_of(FINITE, FINITE, FINITE, st.sampled_from([math.nan, math.inf, -math.inf]), st.none())
STEPS = st.one_of(st.none(), st.integers(-20, 300), st.floats(-20, 300))
TIMES = st.floats(0, 300)
FLUSHES = st.lists(
    st.lists(st.tuples(STEPS, TIMES, VALUES, st.integers(1, 5)), max_size=40), min_size=1, max_size=12
)
"""Flushes of results of one key: step, time, value (None: no point), and how far `seq` moves."""
GROWING = st.integers(1, 400).map(
    lambda count: [[(at, float(at), math.sin(at), 1) for at in range(count)]]
)


def stored(flushes: list[list[tuple[Any, float, Any, int]]]) -> tuple[Stored, list[Spot], int]:
    """Keep results as flushes do; returns also all points, and the number of results."""
    of, blocks, points = Series.empty(), {}, {}
    every: list[Spot] = []
    seq = count = 0
    for flush in flushes:
        added = Additions()
        for step, time, value, ahead in flush:
            seq += ahead
            count += 1
            if value is None:
                added.others += 1
                continue
            added.seqs.append(seq)
            added.points += (step, time, value)
            points[seq] = (step, time, value)
            every.append((seq, len(every) if step is None else step, time, value))
        for level, at, block, seqs in of.extend(added):
            assert (level, at) not in blocks
            blocks[level, at] = (again(block), seqs)
        # as in the database
        of = Series(again(of.summary, msgspec.json), again(of.tail))
    return Stored(of, blocks, points), every, count


def again(thing: Any, form: Any = msgspec.msgpack) -> Any:
    return form.decode(form.encode(thing), type=type(thing))


def walked(
    kept: Stored,
    points: int,
    within: Range,
    most_rows: int = MANY,
    deleted: frozenset[int] = frozenset(),
) -> tuple[Drawn, int]:
    """A curve as the store reads it; returns also how many blocks and points were read."""
    walk = Walk(kept.series.summary.points, kept.series.tail, points, within, most_rows)
    read = 0
    while walk.wanted:
        found = [nodes_of(kept, span) for span in walk.wanted]
        read += sum(map(len, found))
        walk.take(found)
    read += len(walk.seqs)
    return walk.drawn({seq: kept.points[seq] for seq in walk.seqs if seq not in deleted}), read


def nodes_of(kept: Stored, span: Span) -> list[Node]:
    nodes = []
    for at in range(span.first, span.last + 1):
        block, seqs = kept.blocks[span.level, at]
        encoded = msgspec.msgpack.encode(seqs) if seqs and span.with_seqs else b""
        nodes.append(Node(span.level, at, block, encoded))
    return nodes


def expected(points: list[Spot]) -> list[Any]:
    """What a bucket of these points lists."""
    finite = [point for point in points if math.isfinite(point[3])]
    picked = {}
    if finite:
        values = [point[3] for point in finite]
        low, high = values.index(min(values)), values.index(max(values))
        picked = {point[0]: point for point in (finite[0], finite[low], finite[high], finite[-1])}
    odd: dict[str, Spot] = {}
    for point in points:
        if not math.isfinite(point[3]):
            odd.setdefault(name_of(point[3]), point)
    picked |= {point[0]: point for point in odd.values()}
    return comparable([picked[seq] for seq in sorted(picked)])


def comparable(spots: list[Spot]) -> list[Any]:
    return [(*spot[:3], spot[3] if math.isfinite(spot[3]) else name_of(spot[3])) for spot in spots]


def naive_summary(every: list[Spot], count: int) -> Summary:
    finite = [point for point in every if math.isfinite(point[3])]
    summary = Summary(count=count, points=len(every))
    if every:
        last = every[-1][3]
        summary.first_step, summary.last_step = every[0][1], every[-1][1]
        summary.last = last if math.isfinite(last) else name_of(last)
    if finite:
        values = [point[3] for point in finite]
        low, high = finite[values.index(min(values))], finite[values.index(max(values))]
        summary.least, summary.least_step = low[3], low[1]
        summary.greatest, summary.greatest_step = high[3], high[1]
    return summary


def check_buckets(drawn: Drawn, every: list[Spot], points: int) -> None:
    """The buckets are parts of `every` in its order, and list what such a part has to."""
    assert drawn.buckets is not None
    assert len(drawn.buckets) <= max(1, points // 4)
    place = listed = 0
    for bucket in drawn.buckets:
        part = every[place : place + bucket.points]
        assert comparable(drawn.spots[listed : listed + bucket.listed]) == expected(part)
        finite = [float(point[3]) for point in part if math.isfinite(point[3])]
        if finite:
            assert bucket.mean is not None
            size = max(map(abs, finite))
            exact = math.fsum(value / len(finite) for value in finite)
            assert math.isclose(bucket.mean, exact, rel_tol=1e-9, abs_tol=1e-9 * size)
        else:
            assert bucket.mean is None
        place += bucket.points
        listed += bucket.listed
    assert place == len(every)
    assert listed == len(drawn.spots)


def in_range(every: list[Spot], within: Range) -> list[Spot]:
    column = 1 if within.axis == "step" else 2
    return [point for point in every if within.start <= point[column] <= within.end]


EDGES = st.one_of(st.just(-math.inf), st.integers(-30, 310).map(float))
RANGES = st.builds(
    lambda axis, start, size: Range(axis, start, start + size),
    st.sampled_from(["step", "time"]),
    EDGES,
    st.one_of(st.just(math.inf), st.floats(0, 400)),
)
POINTS = st.one_of(st.integers(4, 60), st.sampled_from([4, 8, 400, 10_000]))


@settings(deadline=None, max_examples=300)
@given(FLUSHES | GROWING)
def test_a_summary_equals_that_of_all_points(flushes: list[Any]) -> None:
    kept, every, count = stored(flushes)
    assert kept.series.summary == naive_summary(every, count)


@settings(deadline=None, max_examples=300)
@given(FLUSHES | GROWING, POINTS)
def test_a_whole_curve_equals_that_of_all_points(flushes: list[Any], points: int) -> None:
    kept, every, _ = stored(flushes)
    if not every:
        return
    drawn, read = walked(kept, points, Range("step"))
    if len(every) <= points:
        assert drawn.buckets is None
        assert comparable(drawn.spots) == comparable(every)
    else:
        check_buckets(drawn, every, points)
    assert read <= max(2 * WIDTH * points, 2 * points)


@settings(deadline=None, max_examples=400)
@given(FLUSHES | GROWING, POINTS, RANGES)
def test_a_part_of_a_curve_equals_that_of_its_points(
    flushes: list[Any], points: int, within: Range
) -> None:
    kept, every, _ = stored(flushes)
    if not every:
        return
    chosen = in_range(every, within)
    drawn, _ = walked(kept, points, within)
    if drawn.buckets is None:
        assert len(chosen) <= points
        assert comparable(drawn.spots) == comparable(chosen)
    else:
        # blocks that touch the range have more points than the curve
        assert len(every) > points
        check_buckets(drawn, chosen, points)


@settings(deadline=None, max_examples=300)
@given(FLUSHES | GROWING, POINTS, RANGES, st.integers(1, 100))
def test_a_bounded_read_has_every_point_of_the_range(
    flushes: list[Any], points: int, within: Range, most_rows: int
) -> None:
    """With too few rows to read, blocks at the edges of the range count as a whole."""
    kept, every, _ = stored(flushes)
    if not every:
        return
    drawn, read = walked(kept, points, within, most_rows)
    chosen = in_range(every, within)
    # a curve of so few blocks has at most one level more than its bound
    assert read <= most_rows + points + WIDTH
    if drawn.buckets is None:
        assert comparable(drawn.spots) == comparable(chosen)
        return
    assert len(drawn.buckets) <= max(1, points // 4)
    assert sum(bucket.points for bucket in drawn.buckets) >= len(chosen)
    if within.is_all:
        check_buckets(drawn, every, points)


@settings(deadline=None, max_examples=300)
@given(FLUSHES | GROWING, POINTS, st.data())
def test_blocks_stand_in_for_deleted_results(flushes: list[Any], points: int, data: Any) -> None:
    kept, every, _ = stored(flushes)
    if not every:
        return
    oldest = data.draw(st.integers(0, every[-1][0]))
    deleted = frozenset(point[0] for point in every if point[0] <= oldest)
    drawn, _ = walked(kept, points, Range("step"), deleted=deleted)
    if drawn.buckets is None:
        assert comparable(drawn.spots) == comparable(every)
    else:
        check_buckets(drawn, every, points)


def test_the_cost_of_a_curve_does_not_grow_with_its_points() -> None:
    reads = []
    for count in (2_000, 20_000, 200_000):
        kept, _, _ = stored([[(at, float(at), float(at), 1) for at in range(count)]])
        for within in (Range("step"), Range("step", count / 3, count / 2)):
            reads.append(walked(kept, 400, within)[1])
    assert max(reads) <= 2 * WIDTH * 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("0", 0),
        ("123456789012345678", 123456789012345678),
        ("-123456789012345678", -123456789012345678),
        ("1234567890123456789", 1234567890123456789.0),
        ("1.5", 1.5),
        ("-1.5e-3", -0.0015),
        ("1e3", 1000.0),
        ("9" * 400, math.inf),
        ("-" + "9" * 400, -math.inf),
        ('"Infinity"', math.inf),
        ('"-Infinity"', -math.inf),
        ('"\\u0049nfinity"', math.inf),
        ('"infinity"', None),
        ('"1"', None),
        ('""', None),
        ('"' + "\\u0041" * 100 + '"', None),
        ("null", None),
        ("true", None),
        ("[1]", None),
        ('{"a":1}', None),
    ],
)
def test_what_is_a_point(text: str, value: Number | None) -> None:
    found = value_of(text.encode())
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_point() -> None:
    for text in (b'"NaN"', rb'"\u004eaN"'):
        found = value_of(text)
        assert found is not None
        assert math.isnan(found)


def test_a_step_that_is_no_number_is_none() -> None:
    """A host may pass any float."""
    reports = EncodedReports("2026-11-23T17:30:00.000000Z", 1000, 10)
    reports.add([checked({"key": "x", "value": 1, "step": math.nan}, RawResultInput)])
    (entry,) = reports.entries
    assert entry.point == (None, 1795455000.0, 1)
    axis: Axis = "step"
    assert Range(axis).is_all
