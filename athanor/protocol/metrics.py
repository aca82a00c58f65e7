"""Metrics and curves: what the service knows of the results of each key, without reading them."""

from __future__ import annotations

import math
from typing import Generic, Literal, NamedTuple, TypeVar

import msgspec

from ..exceptions import InvalidQuery
from .points import Number

T = TypeVar("T")
Axis = Literal["step", "time"]

LISTED_KEYS, DETAIL_KEYS = 20, 100
"""The first keys whose summaries are in a list of runs (`summary=*`), and in a single run."""
MOST_KEYS, MOST_RUNS, MOST_CURVES = 50, 50, 500
LEAST_POINTS, MOST_POINTS, MOST_POINTS_TOGETHER = 4, 10_000, 200_000
"""Bounds of a request for curves; `MOST_KEYS` is one of a list's summaries too."""
ALL_KEYS = "*"


class Summary(msgspec.Struct, kw_only=True):
    """A key's results in short: `count` of them, of which `points` are points.

    `last` is the value of the newest point; if it is not finite, it is one of the three strings.
    `least` and `greatest` are of the finite points, with the step at which each came first. A field
    is None without such a point.
    """

    count: int = 0
    points: int = 0
    first_step: Number | None = None
    last_step: Number | None = None
    last: Number | str | None = None
    least: Number | None = None
    least_step: Number | None = None
    greatest: Number | None = None
    greatest_step: Number | None = None


class Metric(Summary, kw_only=True):
    """What the service knows of one key of one run."""

    key: str


class KeyUse(msgspec.Struct, kw_only=True):
    """A key in the runs of an instance: `runs` that have it, and their `points` together."""

    key: str
    runs: int
    points: int


class Bucket(NamedTuple):
    """So many entries of a curve's `x` and `y` stand for so many points, of which this is the mean.

    The mean is that of the finite points; None without one.
    """

    listed: int
    points: int
    mean: float | None


class Curve(msgspec.Struct, kw_only=True):
    """The points of a key to draw, in order of arrival.

    `seq` is the run's newest result, `count` counts the key's points. Without `buckets`, every point
    of the range is listed; with them, the first, least, greatest and last finite point of each, and
    the first one of each kind that is not finite.
    """

    run_id: str
    key: str
    seq: int
    count: int
    x: list[Number]
    y: list[Number | str]
    buckets: list[Bucket] | None = None


class CurveQuery(NamedTuple):
    """Which curves: those of `keys` in `run_ids`, with about `points` points each.

    `start` and `end` are the first and the last step, or time in seconds since the epoch, by `axis`.
    """

    run_ids: list[str]
    keys: list[str]
    points: int = 1000
    axis: Axis = "step"
    start: float | None = None
    end: float | None = None


def checked_query(query: CurveQuery) -> CurveQuery:
    """The query without repetitions. Raises `InvalidQuery` if it asks for nothing, or too much."""
    runs, keys = list(dict.fromkeys(query.run_ids)), list(dict.fromkeys(query.keys))
    for noun, names, most in (("run", runs, MOST_RUNS), ("key", keys, MOST_KEYS)):
        if not 1 <= len(names) <= most:
            raise InvalidQuery(f"curves are of 1 to {most} {noun}s, not of {len(names)}")
    if not LEAST_POINTS <= query.points <= MOST_POINTS:
        raise InvalidQuery(f"points is {query.points}; it must be from {LEAST_POINTS} to {MOST_POINTS}")
    curves = len(runs) * len(keys)
    if curves > MOST_CURVES:
        raise InvalidQuery(
            f"{len(runs)} runs and {len(keys)} keys are {curves} curves, and {MOST_CURVES} is the most: "
            "ask for fewer runs or keys at once"
        )
    if curves * query.points > MOST_POINTS_TOGETHER:
        raise InvalidQuery(
            f"{curves} curves of {query.points} points are more than {MOST_POINTS_TOGETHER} points "
            f"together: ask for points={MOST_POINTS_TOGETHER // curves}, or for fewer runs or keys"
        )
    for name, number in (("from", query.start), ("to", query.end)):
        if number is not None and not math.isfinite(number):
            raise InvalidQuery(f"{name} is {number}; it must be a finite number")
    return query._replace(run_ids=runs, keys=keys)


class CurvePage(NamedTuple):
    """Curves; `cursor` is the position in the event log at which they were read."""

    curves: list[Curve]
    cursor: str


class KeyPage(NamedTuple, Generic[T]):
    """Some items in the order of their keys; `more` tells whether further ones follow.

    `seq` is the run's newest result, `cursor` the position in the event log at which they were read.
    """

    items: list[T]
    more: bool
    seq: int
    cursor: str
