"""Queries: instances, runs, their logs and results; each by an index, in bounded pages."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..protocol.pages import EntryFilter, EntryPage
from ..protocol.stored import StoredRun, StoredSummary
from .rows import RUN, SUMMARY, run_of, summary_of
from .session import Session


class RunRecord(NamedTuple):
    """A run, the number of its final event (None before), and up to which number it was trimmed."""

    run: StoredRun
    ended_n: int | None
    trimmed_n: int


async def find_run(session: Session, id: str) -> RunRecord | None:
    rows = await session.fetch(f"SELECT {RUN}, ended_n, trimmed_n FROM runs WHERE id = ?", (id,))
    return RunRecord(run_of(rows[0]), *rows[0][-2:]) if rows else None


async def result_counts(session: Session, ids: list[str]) -> dict[str, int]:
    """The number of results of each of the runs that exist: the `seq` of the newest one."""
    among, params = session.among("id", ids)
    return dict(await session.execute(f"SELECT id, result_count FROM runs WHERE {among}", params))


class Window(NamedTuple):
    """A part of a list: what was created before the event `before`, and how much of it."""

    before: int
    limit: int
    most_bytes: int


async def list_runs(
    session: Session, instance_id: str | None, status: str | None, window: Window
) -> tuple[list[StoredRun], int | None]:
    """Runs, newest first, and the position of the next page, None on the last one."""
    given = {"instance_id": instance_id, "status": status}
    filters = {column: value for column, value in given.items() if value is not None}
    size = "length(metadata) + coalesce(length(error), 0)"
    rows, following = await _newest(session, "runs", RUN, size, filters, window)
    return [run_of(row) for row in rows], following


async def find_instance(session: Session, id: str) -> StoredSummary | None:
    rows = await session.fetch(f"SELECT {SUMMARY} FROM instances WHERE id = ?", (id,))
    return summary_of(rows[0]) if rows else None


async def list_instances(
    session: Session, name: str | None, window: Window
) -> tuple[list[StoredSummary], int | None]:
    """Instances, newest first, and the position of the next page, None on the last one."""
    filters = {} if name is None else {"name": name}
    size = "length(configuration) + coalesce(length(description), 0)"
    rows, following = await _newest(session, "instances", SUMMARY, size, filters, window)
    return [summary_of(row) for row in rows], following


async def _newest(
    session: Session, table: str, columns: str, size: str, filters: dict[str, str], window: Window
) -> tuple[list[list[Any]], int | None]:
    """Rows of `table`, newest first, and the position of the next page, None on the last one.

    A page ends after the row that fills it: `window.most_bytes` by the expression `size`.
    """
    conditions = "".join(f" AND {column} = ?" for column in filters)
    params = (window.before, *filters.values())
    rows = await session.fetch(
        f"""
        SELECT {columns}, created_n FROM {table} JOIN (
            SELECT created_n AS picked_n,
                sum(size) OVER (ORDER BY created_n DESC ROWS UNBOUNDED PRECEDING) - size AS before
            FROM (
                SELECT created_n, {size} AS size FROM {table} WHERE created_n < ?{conditions}
                ORDER BY created_n DESC LIMIT ?
            ) AS found
        ) AS picked ON created_n = picked_n WHERE before < ? ORDER BY created_n DESC""",
        (*params, window.limit, window.most_bytes),
    )
    if not rows:
        return [], None
    last: int = rows[-1][-1]
    sql = f"SELECT 1 FROM {table} WHERE created_n < ?{conditions} LIMIT 1"
    more = await session.value(sql, (last, *filters.values())) is not None
    return rows, last if more else None


async def cancel_requested(session: Session) -> list[str]:
    """The running runs whose producers were asked to cancel."""
    sql = "SELECT id FROM runs WHERE status = 'running' AND cancel_requested_at IS NOT NULL"
    return [id for (id,) in await session.execute(sql)]


async def has_instance(session: Session, id: str) -> bool:
    return await session.value("SELECT 1 FROM instances WHERE id = ?", (id,)) is not None


async def deleted_n(session: Session, instance_id: str) -> int | None:
    """The number of the event that deleted this instance last; None if it was never deleted."""
    sql = "SELECT max(n) FROM events WHERE instance_id = ? AND type = 'instance_deleted'"
    number: int | None = await session.value(sql, (instance_id,))
    return number


async def trimmed_n(session: Session, run_ids: list[str]) -> list[tuple[str, int]]:
    """Those of the runs that retention trimmed, each with the number up to which it did."""
    among, params = session.among("id", run_ids)
    sql = f"SELECT id, trimmed_n FROM runs WHERE trimmed_n > 0 AND {among}"
    return [(id, n) for id, n in await session.execute(sql, params)]


async def list_entries(
    session: Session, run_id: str, wanted: EntryFilter, limit: int, most_bytes: int
) -> EntryPage:
    """A page of entries, in order of `seq`: `limit` at most, and about `most_bytes`.

    A search reads every entry between `after` and `before` once, and counts those that match.
    """
    backwards = wanted.is_backwards
    matching, params = _matching(session, run_id, wanted)
    window = (*params, wanted.after or 0, 2**62 if wanted.before is None else wanted.before)
    order = "DESC" if backwards else "ASC"
    rows = await session.entries(
        f"""
        SELECT seq, data FROM (
            SELECT n AS measured_n,
                sum(size) OVER (ORDER BY seq {order} ROWS UNBOUNDED PRECEDING) - size AS before
            FROM (
                SELECT seq, n, size FROM events WHERE {matching} AND seq > ? AND seq < ?
                ORDER BY seq {order} LIMIT ?
            ) AS found
        ) AS measured JOIN events ON n = measured_n WHERE before < ? ORDER BY seq {order}""",
        (*window, limit + 1, most_bytes),
    )
    more = len(rows) > limit
    is_whole = not more and sum(len(data) for _, data in rows) < most_bytes
    rows = rows[:limit]
    if not wanted.is_search:
        total: int = await _count(session, run_id, wanted)
    elif is_whole:
        total = len(rows)
    else:
        sql = f"SELECT count(*) FROM events WHERE {matching} AND seq > ? AND seq < ?"
        total = await session.value(sql, window)
        more = total > len(rows)
    if backwards:
        rows.reverse()
    if not rows:
        return EntryPage(None, None, [], total, False)
    first, last = rows[0][0], rows[-1][0]
    # fewer entries than `limit` may mean that the page was full in bytes
    if not (more or is_whole or wanted.is_search):
        edge, sign = (first, "<") if backwards else (last, ">")
        sql = f"""
            SELECT 1 FROM events WHERE {matching} AND seq > ? AND seq < ? AND seq {sign} ?
            LIMIT 1"""
        more = await session.value(sql, (*window, edge)) is not None
    return EntryPage(first, last, [data for _, data in rows], total, more)


async def _count(session: Session, run_id: str, wanted: EntryFilter) -> int:
    matching, params = _matching(session, run_id, wanted)
    sql = f"SELECT count(*) FROM events WHERE {matching}"
    if not wanted.labels:
        # `seq` has no holes: two look-ups in the index instead of one for each entry
        sql = f"""
            SELECT coalesce((SELECT max(seq) FROM events WHERE {matching})
                - (SELECT min(seq) FROM events WHERE {matching}) + 1, 0)"""
        params *= 2
    count: int = await session.value(sql, params)
    return count


def _matching(session: Session, run_id: str, wanted: EntryFilter) -> tuple[str, tuple[Any, ...]]:
    """The condition on `events` for the filter's entries, without the bounds of `seq`."""
    sql, params = "run_id = ? AND type = ? AND seq IS NOT NULL", [run_id, wanted.type]
    if wanted.labels:
        sql += f" AND label IN ({', '.join('?' * len(wanted.labels))})"
        params += wanted.labels
    if wanted.stream:
        sql += f" AND {session.stream_sql}"
        params.append(wanted.stream)
    if wanted.text:
        sql += f" AND {session.contains_sql}"
        params += [msgspec.json.encode(wanted.text)[1:-1].decode(), wanted.text]
    return sql, tuple(params)
