"""Entries of a run: pages by `seq`, each read from an index that has only what is wanted."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..protocol.pages import EntryFilter, EntryPage
from ..protocol.records import LevelCounts
from . import levels
from .session import Params, Session

END = 2**62
"""A `seq` after every entry."""


class Span(NamedTuple):
    """The entries with `first <= seq <= last`; reading stops after the entry that fills a page."""

    first: int
    last: int
    limit: int
    most_bytes: int


async def list_entries(
    session: Session, run_id: str, wanted: EntryFilter, limit: int, most_bytes: int
) -> EntryPage:
    """A page of entries, in order of `seq`: `limit` at most, and about `most_bytes`."""
    last = END if wanted.before is None else wanted.before - 1
    span = Span((wanted.after or 0) + 1, last, limit + 1, most_bytes)
    rows = await read(session, run_id, wanted, span)
    more = len(rows) > limit
    is_whole = not more and sum(len(data) for _, data in rows) < most_bytes
    rows = rows[:limit]
    total = await _count(session, run_id, wanted)
    if not rows:
        return EntryPage(None, None, [], total, False)
    # fewer entries than `limit` may mean that the page was full in bytes
    if not (more or is_whole):
        edge = rows[-1][0]
        rest = span._replace(last=edge - 1) if wanted.is_backwards else span._replace(first=edge + 1)
        more = bool(await read(session, run_id, wanted, rest._replace(limit=1)))
    if wanted.is_backwards:
        rows.reverse()
    return EntryPage(rows[0][0], rows[-1][0], [data for _, data in rows], total, more)


async def read(
    session: Session,
    run_id: str,
    wanted: EntryFilter,
    span: Span,
    condition: str = "",
    params: Params = (),
) -> list[tuple[int, bytes]]:
    """`seq` and JSON of the entries in a span with one of the labels that are wanted.

    They come in the order in which they are wanted. `condition` is one more condition on `events`.
    """
    order = "DESC" if wanted.is_backwards else "ASC"
    arms: list[str] = []
    all_params: list[Any] = []
    for labels, label_params, seq in _labels(wanted):
        arms.append(
            f"""
            SELECT * FROM (
                SELECT seq, n, size FROM events WHERE run_id = ? AND type = '{wanted.type}'
                    AND {seq} >= ? AND {seq} <= ?{labels}{condition}
                ORDER BY {seq} {order} LIMIT ?
            ) AS arm"""
        )
        all_params += [run_id, span.first, span.last, *label_params, *params, span.limit]
    # `size` comes before `data`: a page is measured before its data are read
    return await session.entries(
        f"""
        SELECT seq, data FROM (
            SELECT n AS measured_n,
                sum(size) OVER (ORDER BY seq {order} ROWS UNBOUNDED PRECEDING) - size AS before
            FROM ({" UNION ALL ".join(arms)} ORDER BY seq {order} LIMIT ?) AS found
        ) AS measured JOIN events ON n = measured_n WHERE before < ? ORDER BY seq {order}""",
        (*all_params, span.limit, span.most_bytes),
    )


def _labels(wanted: EntryFilter) -> list[tuple[str, Params, str]]:
    """The condition that an entry has one of the labels, in as many parts as are read in order.

    Each with its parameters, and with `seq` as the index to use has it. The index of levels that are
    often rare has an order for each level.
    """
    labels = _distinct(wanted)
    if not labels:
        return [("", (), "seq")]
    if wanted.type == "run_log" and "info" not in labels:
        return [(" AND label = ? AND label <> 'info'", (label,), "seq + 0") for label in labels]
    return [(f" AND label IN ({', '.join('?' * len(labels))})", labels, "seq")]


def _distinct(wanted: EntryFilter) -> tuple[str, ...]:
    """The labels that are wanted; none if all of them are."""
    labels = tuple(dict.fromkeys(wanted.labels))
    every = wanted.type == "run_log" and set(labels) >= set(LevelCounts.__struct_fields__)
    return () if every else labels


async def _count(session: Session, run_id: str, wanted: EntryFilter) -> int:
    """The stored entries with one of the labels that are wanted."""
    labels = _distinct(wanted)
    if labels and wanted.type == "run_log":
        counts = await levels.counts(session, run_id)
        return sum(getattr(counts, label, 0) for label in labels)
    condition = f"run_id = ? AND type = '{wanted.type}' AND seq IS NOT NULL"
    if labels:
        marks = ", ".join("?" * len(labels))
        sql = f"SELECT count(*) FROM events WHERE {condition} AND label IN ({marks})"
        count: int = await session.value(sql, (run_id, *labels))
        return count
    oldest, newest = await edges(session, run_id, wanted)
    return newest - oldest + 1


async def edges(session: Session, run_id: str, wanted: EntryFilter) -> tuple[int, int]:
    """The first and the last `seq` of a run's entries, which have no holes; 1 and 0 without any."""
    condition = f"run_id = ? AND type = '{wanted.type}' AND seq IS NOT NULL"
    # two look-ups in the index; with both in one SELECT, SQLite reads every entry
    sql = f"""
        SELECT coalesce((SELECT min(seq) FROM events WHERE {condition}), 1),
            coalesce((SELECT max(seq) FROM events WHERE {condition}), 0)"""
    ((first, last),) = await session.execute(sql, (run_id, run_id))
    return first, last
