"""Upkeep: deletions, in steps so small that a flush fits between two of them."""

from __future__ import annotations

from . import levels
from .session import Params, Session


async def purge_step(session: Session, rows: int) -> bool:
    """Delete about `rows` rows that deleted runs left; returns whether there may be more."""
    async with session.writing():
        # inside the transaction: another process may create a run of the same id, whose rows stay
        run_id = await session.value("SELECT run_id FROM purges LIMIT 1")
        if run_id is None:
            return False
        left = None
        for table, key, which in _LEFT:
            picked = f"SELECT {key} FROM {table} WHERE {which} LIMIT {rows}"
            await session.change(
                f"DELETE FROM {table} WHERE run_id = ? AND ({key}) IN ({picked})", (run_id, run_id)
            )
            some = f"SELECT 1 FROM {table} WHERE {which} LIMIT 1"
            left = left or await session.value(some, (run_id,))
        if left is None:
            await session.change("DELETE FROM purges WHERE run_id = ?", (run_id,))
    return True


_LEFT = (
    # that a run was deleted stays true
    ("events", "n", "run_id = ? AND type <> 'run_deleted'"),
    ("receipts", "key", "run_id = ?"),
    ("metrics", "key", "run_id = ?"),
    ("blocks", "key, level, block", "run_id = ?"),
)
"""What a deleted run leaves: a table, its key, and the condition on its rows."""


async def forget_receipts(session: Session, before: str, rows: int) -> bool:
    """Delete `rows` idempotency keys older than `before`; returns whether there may be more."""
    picked = f"SELECT run_id, key FROM receipts WHERE created_at < ? LIMIT {rows}"
    sql = f"DELETE FROM receipts WHERE (run_id, key) IN ({picked})"
    async with session.writing():
        return await session.change(sql, (before,)) == rows


async def runs_over(session: Session, rows: int, after: str) -> list[str]:
    """Runs after the id `after` that have more than `rows` log entries or results, in order."""
    return await _runs_with_entries(
        session,
        "type = 'run_log' AND seq <= log_count - ?",
        "type = 'run_result' AND seq <= result_count - ?",
        (after, rows, rows),
    )


async def runs_ended(session: Session, before: str, after: str) -> list[str]:
    """Runs after the id `after` that ended before a time and have entries, in order."""
    ended = "completed_at < ? AND type = "
    return await _runs_with_entries(
        session, f"{ended}'run_log'", f"{ended}'run_result'", (after, before, before)
    )


async def _runs_with_entries(session: Session, logs: str, results: str, params: Params) -> list[str]:
    sql = f"""
        SELECT id FROM runs WHERE id > ? AND (
            EXISTS (SELECT 1 FROM events WHERE run_id = runs.id AND seq IS NOT NULL AND {logs})
            OR EXISTS (SELECT 1 FROM events WHERE run_id = runs.id AND seq IS NOT NULL AND {results})
        ) ORDER BY id LIMIT 100"""
    return [id for (id,) in await session.execute(sql, params)]


async def trim_step(session: Session, run_id: str, keep: int, rows: int) -> bool:
    """Delete `rows` of a run's oldest entries, never the newest `keep` of each kind.

    Returns whether there may be more.
    """
    more = False
    for type_, count in (("run_log", "log_count"), ("run_result", "result_count")):
        async with session.writing():
            newest = await session.value(f"SELECT {count} FROM runs WHERE id = ?", (run_id,))
            which = "run_id = ? AND type = ? AND seq <= ?"
            some = f"SELECT n FROM events WHERE {which} ORDER BY seq LIMIT {rows}"
            params = (run_id, type_, (newest or 0) - keep)
            last = await session.value(f"SELECT max(n) FROM ({some}) AS oldest", params)
            if last is not None:
                if type_ == "run_log":
                    await levels.subtract(session, run_id, f"n IN ({some})", params)
                deleted = await session.change(f"DELETE FROM events WHERE n IN ({some})", params)
                more = more or deleted == rows
                await session.change(
                    "UPDATE runs SET trimmed_n = ? WHERE id = ? AND trimmed_n < ?", (last, run_id, last)
                )
    return more
