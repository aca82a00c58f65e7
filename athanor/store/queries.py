"""Queries: instances and runs; each by an index, in bounded pages."""

from __future__ import annotations

from typing import Any, NamedTuple

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
