"""Metrics in the database: a row for each run and key, and the complete blocks of its points."""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any

import msgspec

from ..domain.series import Additions, Series, Tail, pack
from ..protocol.encoding import encode
from ..protocol.metrics import KeyUse, Summary
from ..protocol.pages import EntryFilter
from ..protocol.points import Number, value_of
from ..protocol.records import seconds_of
from .collector import no_collection
from .entries import END, Span, read
from .session import Params, Session

logger = logging.getLogger("athanor")

SLICE_ROWS, SLICE_BYTES = 20_000, 8 * 1024 * 1024
"""The stored results that are folded at once in an upgrade."""

_shown = msgspec.json.Encoder().encode
_summary_of = msgspec.json.Decoder(Summary).decode
_tail_of = msgspec.msgpack.Decoder(Tail).decode

_REPLACE = """
ON CONFLICT (run_id, key) DO UPDATE SET points = excluded.points, summary = excluded.summary,
    tail = excluded.tail"""

Place = tuple[str, str]
"""A run and a key."""
Results = dict[str, dict[str, Additions]]
"""The results of each run by key."""


class StoredResult(msgspec.Struct):
    """A result as `events` has it."""

    key: str
    value: msgspec.Raw
    step: Number | None
    timestamp: str


decode_result = msgspec.json.Decoder(StoredResult).decode


class SeriesCache:
    """The series of the last flushes, so that the next one need not load them.

    They are those in the database as long as no other process has written: then `newest` is the
    number of its newest event. Series change in a transaction, so they are forgotten if it fails.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._newest = 0
        self._series: dict[Place, Series] = {}

    def take(self, newest: int) -> dict[Place, Series]:
        """The series at the event number `newest`, for one transaction, until `keep`."""
        series, self._series = self._series, {}
        return series if newest == self._newest else {}

    def keep(self, series: dict[Place, Series], newest: int) -> None:
        """The series after a transaction that was committed; the ones longest unused are dropped."""
        for place in list(islice(series, max(0, len(series) - self._size))):
            del series[place]
        self._series, self._newest = series, newest


async def add_results(session: Session, results: Results, known: dict[Place, Series]) -> None:
    """Fold results into the metrics of their runs, inside the transaction that stores them.

    `known` has some of the series in the database, and then also those that have changed.
    """
    places = [(run_id, key) for run_id, added in results.items() for key in added]
    if missing := [place for place in places if place not in known]:
        await _load(session, missing, known)
    with no_collection():
        rows, blocks = _fold(results, places, known)
    await session.put("metrics", "ttitb", rows, _REPLACE)
    await session.put("blocks", "ttiibb", blocks)


async def _load(session: Session, places: list[Place], known: dict[Place, Series]) -> None:
    known |= {place: Series.empty() for place in places}
    among, params = session.among("(run_id, key)", places)
    rows = await session.fetch(
        f"SELECT run_id, key, summary, {session.dialect.hex.format('tail')} FROM metrics WHERE {among}",
        params,
    )
    for run_id, key, summary, tail in rows:
        known[run_id, key] = Series(_summary_of(summary), tail_of(tail))


def tail_of(digits: str) -> Tail:
    """A tail from the hexadecimal digits of the column."""
    return _tail_of(bytes.fromhex(digits))


def _fold(
    results: Results, places: list[Place], known: dict[Place, Series]
) -> tuple[list[Params], list[Params]]:
    """Add the results to their series; returns the rows of `metrics` and `blocks`."""
    rows: list[Params] = []
    blocks: list[Params] = []
    for place in places:
        run_id, key = place
        # the ones that were used last are at the end
        known[place] = series = known.pop(place)
        for level, at, block, seqs in series.extend(results[run_id][key]):
            blocks.append((run_id, key, level, at, pack(seqs) if seqs else b"", pack(block)))
        summary = _shown(series.summary).decode()
        rows.append((run_id, key, series.summary.points, summary, pack(series.tail)))
    return rows, blocks


async def fold_stored(session: Session) -> None:
    """An upgrade's step: the metrics of all results that are stored."""
    count = await session.value("SELECT coalesce(sum(result_count), 0) FROM runs")
    if not count:
        return
    logger.info("upgrading the database: reading up to %d results for their metrics", count)
    run_id, folded = "", 0
    while run_id := await session.value(
        "SELECT id FROM runs WHERE id > ? AND result_count > 0 ORDER BY id LIMIT 1", (run_id,)
    ):
        span = Span(1, END, SLICE_ROWS, SLICE_BYTES)
        while rows := await read(session, run_id, EntryFilter("run_result"), span):
            span = span._replace(first=rows[-1][0] + 1)
            folded += len(rows)
            await add_results(session, {run_id: _additions(rows)}, {})
    logger.info("the database is upgraded: it has the metrics of %d results", folded)


def _additions(rows: list[tuple[int, bytes]]) -> dict[str, Additions]:
    added: dict[str, Additions] = {}
    for seq, data in rows:
        result = decode_result(data)
        of = added.setdefault(result.key, Additions())
        value = value_of(bytes(result.value))
        if value is None:
            of.others += 1
        else:
            of.seqs.append(seq)
            of.points += (result.step, seconds_of(result.timestamp), value)
    return added


async def summaries(
    session: Session, run_ids: list[str], keys: list[str], limit: int
) -> dict[str, dict[str, msgspec.Raw]]:
    """The summaries of some runs, by key: of these `keys`, or without any of the first `limit`."""
    found: dict[str, dict[str, msgspec.Raw]] = {run_id: {} for run_id in run_ids}
    if not run_ids:
        return found
    params: tuple[Any, ...]
    if keys:
        listed, params = session.listed("tt", [(run_id, key) for run_id in run_ids for key in keys])
        which = "key = c1"
    else:
        listed, params = session.listed("t", [(run_id,) for run_id in run_ids])
        which = """key <= (SELECT max(key) FROM (
            SELECT key FROM metrics WHERE run_id = c0 ORDER BY key LIMIT ?) AS few)"""
        params = (*params, limit)
    rows = await session.fetch(
        f"SELECT run_id, key, summary FROM {listed} JOIN metrics ON run_id = c0 AND {which}", params
    )
    for run_id, key, summary in sorted(rows):
        found[run_id][key] = msgspec.Raw(summary.encode())
    return found


async def list_metrics(session: Session, run_id: str, after: str, limit: int) -> list[bytes]:
    """The JSON of the `Metric`s of a run after a key, in the order of their keys."""
    rows = await session.fetch(
        "SELECT key, summary FROM metrics WHERE run_id = ? AND key > ? ORDER BY key LIMIT ?",
        (run_id, after, limit),
    )
    return [b'{"key":%b,%b' % (encode(key), summary[1:].encode()) for key, summary in rows]


async def list_keys(session: Session, instance_id: str, after: str, limit: int) -> list[KeyUse]:
    """The keys of an instance's runs after a key, in their order."""
    rows = await session.fetch(
        """
        SELECT key, count(*), sum(points) FROM runs JOIN metrics ON run_id = id
        WHERE instance_id = ? AND key > ? GROUP BY key ORDER BY key LIMIT ?""",
        (instance_id, after, limit),
    )
    return [KeyUse(key=key, runs=int(runs), points=int(points)) for key, runs, points in rows]
