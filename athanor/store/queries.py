"""Reading what there is: instances, runs, their logs and results; keyed by index, in bounded pages."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..protocol.pages import EntryFilter, EntryPage
from ..protocol.records import InstanceSummary, Run
from .rows import RUN_COLUMNS, SUMMARY_COLUMNS, run_of, summary_of
from .session import Session


class RunRecord(NamedTuple):
    """A run, the number of its final event if it has one, and up to where retention trimmed it."""

    run: Run
    ended_n: int | None
    trimmed_n: int


async def find_run(session: Session, id: str) -> RunRecord | None:
    columns = (*RUN_COLUMNS, "ended_n", "trimmed_n")
    rows = await session.fetch(columns, "FROM runs WHERE id = ?", (id,))
    return RunRecord(run_of(rows[0]), *rows[0][-2:]) if rows else None


async def list_runs(
    session: Session, instance_id: str | None, status: str | None, before: int, limit: int
) -> tuple[list[Run], int | None]:
    """Newest first, and the number to go on `before`, None at the end."""
    where, params = "WHERE created_n < ?", [before]
    for column, value in (("instance_id", instance_id), ("status", status)):
        if value is not None:
            where += f" AND {column} = ?"
            params.append(value)  # type: ignore[arg-type]
    rest = f"FROM runs {where} ORDER BY created_n DESC LIMIT ?"
    rows = await session.fetch((*RUN_COLUMNS, "created_n"), rest, (*params, limit + 1))
    return [run_of(row) for row in rows[:limit]], _next(rows, limit)


async def find_instance(session: Session, id: str) -> InstanceSummary | None:
    rows = await session.fetch(SUMMARY_COLUMNS, "FROM instances WHERE id = ?", (id,))
    return summary_of(rows[0]) if rows else None


async def list_instances(
    session: Session, name: str | None, before: int, limit: int
) -> tuple[list[InstanceSummary], int | None]:
    """Newest first, and the number to go on `before`, None at the end."""
    named, params = ("", ()) if name is None else ("AND name = ? ", (name,))
    rest = f"FROM instances WHERE created_n < ? {named}ORDER BY created_n DESC LIMIT ?"
    rows = await session.fetch((*SUMMARY_COLUMNS, "created_n"), rest, (before, *params, limit + 1))
    return [summary_of(row) for row in rows[:limit]], _next(rows, limit)


def _next(rows: list[list[Any]], limit: int) -> int | None:
    return rows[limit - 1][-1] if len(rows) > limit else None


async def cancel_requested(session: Session) -> list[str]:
    """The running runs that were asked to end."""
    sql = "SELECT id FROM runs WHERE status = 'running' AND cancel_requested_at IS NOT NULL"
    return [id for (id,) in await session.execute(sql)]


async def has_instance(session: Session, id: str) -> bool:
    return await session.value("SELECT 1 FROM instances WHERE id = ?", (id,)) is not None


async def deleted_n(session: Session, instance_id: str) -> int | None:
    """The number of the event that deleted this instance last, if it ever was."""
    sql = "SELECT max(n) FROM events WHERE instance_id = ? AND type = 'instance_deleted'"
    number: int | None = await session.value(sql, (instance_id,))
    return number


async def trimmed_n(session: Session, run_ids: list[str]) -> list[tuple[str, int]]:
    """Of these runs, those that retention trimmed, and up to which number."""
    among, params = session.among("id", run_ids)
    sql = f"SELECT id, trimmed_n FROM runs WHERE trimmed_n > 0 AND {among}"
    return [(id, n) for id, n in await session.execute(sql, params)]


async def list_entries(
    session: Session, run_id: str, wanted: EntryFilter, limit: int, most_bytes: int
) -> EntryPage:
    """In order of `seq`: the first after `after`; or the last before `before`, if only that is given."""
    backwards = wanted.is_backwards
    matching, params = _matching(session, run_id, wanted)
    total: int = await _count(session, run_id, wanted)
    bounds = " AND seq > ? AND seq < ?"
    window = (*params, wanted.after or 0, 2**62 if wanted.before is None else wanted.before)
    order = "DESC" if backwards else "ASC"
    rows = await session.entries(
        f"""
        FROM (
            SELECT n AS measured_n,
                sum(size) OVER (ORDER BY seq {order} ROWS UNBOUNDED PRECEDING) - size AS before
            FROM (
                SELECT seq, n, size FROM events WHERE {matching}{bounds} ORDER BY seq {order} LIMIT ?
            ) AS found
        ) AS measured JOIN events ON n = measured_n WHERE before < ? ORDER BY seq {order}""",
        (*window, limit + 1, most_bytes),
    )
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        return EntryPage(None, None, [], total, False)
    first, last = rows[0][0], rows[-1][0]
    if not more:  # fewer may have come because the page was full
        edge, sign = (first, "<") if backwards else (last, ">")
        sql = f"SELECT 1 FROM events WHERE {matching}{bounds} AND seq {sign} ? LIMIT 1"
        more = await session.value(sql, (*window, edge)) is not None
    return EntryPage(first, last, [data for _, data in rows], total, more)


async def _count(session: Session, run_id: str, wanted: EntryFilter) -> int:
    matching, params = _matching(session, run_id, wanted)
    sql = f"SELECT count(*) FROM events WHERE {matching}"
    if not wanted.labels and not wanted.text:
        # no holes: two looks into the index instead of as many as there are lines
        edge = f"(SELECT {{}}(seq) FROM events WHERE {matching})"
        sql = f"SELECT coalesce({edge.format('max')} - {edge.format('min')} + 1, 0)"
        params *= 2
    count: int = await session.value(sql, params)
    return count


def _matching(session: Session, run_id: str, wanted: EntryFilter) -> tuple[str, tuple[Any, ...]]:
    sql, params = "run_id = ? AND type = ? AND seq IS NOT NULL", [run_id, wanted.type]
    if wanted.labels:
        sql += f" AND label IN ({', '.join('?' * len(wanted.labels))})"
        params += wanted.labels
    if wanted.text:
        sql += f" AND {session.contains_sql}"
        params.append(wanted.text)
    return sql, tuple(params)
