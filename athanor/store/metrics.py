"""Metrics in the database: a row for each run and key, and the complete blocks of its points."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import msgspec

from ..domain.series import Additions, Series, Tail, from_offsets, offsets
from ..protocol.encoding import encode
from ..protocol.metrics import KeyUse, Summary
from ..protocol.points import Number, value_of
from ..protocol.records import seconds_of
from .session import Params, Session

logger = logging.getLogger("athanor")

SLICE_ROWS, SLICE_BYTES = 20_000, 8 * 1024 * 1024
"""The stored results that are folded at once in an upgrade."""

_encode = msgspec.json.Encoder().encode
_summary_of = msgspec.json.Decoder(Summary).decode
_tail_of = msgspec.json.Decoder(Tail).decode

_REPLACE = """
ON CONFLICT (run_id, key) DO UPDATE SET points = excluded.points, summary = excluded.summary,
    tail = excluded.tail"""

Results = dict[str, dict[str, Additions]]
"""The results of each run by key."""


class StoredResult(msgspec.Struct):
    """A result as `events` has it."""

    key: str
    value: msgspec.Raw
    step: Number | None
    timestamp: str


decode_result = msgspec.json.Decoder(StoredResult).decode


def tail_of(text: str) -> Tail:
    tail = _tail_of(text)
    tail.seqs = from_offsets(tail.seqs)
    return tail


async def add_results(session: Session, results: Results) -> None:
    """Fold results into the metrics of their runs, inside the transaction that stores them."""
    touched = [(run_id, key) for run_id, added in results.items() for key in added]
    if not touched:
        return
    series = await _load(session, touched)
    rows: list[Params] = []
    blocks: list[Params] = []
    for place in touched:
        run_id, key = place
        of = series.get(place) or Series.empty()
        for level, at, block, seqs in of.extend(results[run_id][key]):
            text = _encode(offsets(seqs)).decode() if seqs else ""
            blocks.append((run_id, key, level, at, text, _encode(block).decode()))
        summary, tail = of.summary, of.tail
        tail = Tail(offsets(tail.seqs), tail.blocks)
        rows.append((run_id, key, summary.points, _encode(summary).decode(), _encode(tail).decode()))
    await session.put("metrics", "ttitt", rows, _REPLACE)
    await session.put("blocks", "ttiitt", blocks)


async def _load(session: Session, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Series]:
    among, params = session.among("(run_id, key)", places)
    rows = await session.fetch(f"SELECT run_id, key, summary, tail FROM metrics WHERE {among}", params)
    return {
        (run_id, key): Series(_summary_of(summary), tail_of(tail)) for run_id, key, summary, tail in rows
    }


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
        seq = 0
        while rows := await _stored_results(session, run_id, seq):
            seq = rows[-1][0]
            folded += len(rows)
            await add_results(session, {run_id: _additions(rows)})
    logger.info("the database is upgraded: it has the metrics of %d results", folded)


async def _stored_results(session: Session, run_id: str, after: int) -> list[tuple[int, bytes]]:
    """The next results of a run by `seq`: some rows and bytes, and at least one row."""
    return await session.entries(
        """
        SELECT seq, data FROM (
            SELECT n AS measured_n,
                sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) - size AS before
            FROM (
                SELECT seq, n, size FROM events WHERE run_id = ? AND type = 'run_result' AND seq > ?
                ORDER BY seq LIMIT ?
            ) AS found
        ) AS measured JOIN events ON n = measured_n WHERE before < ? ORDER BY seq""",
        (run_id, after, SLICE_ROWS, SLICE_BYTES),
    )


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
            of.points.append((result.step, seconds_of(result.timestamp), value))
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
