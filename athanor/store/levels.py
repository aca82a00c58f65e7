"""Counts of a run's stored log entries by level: columns of `runs` that change with the entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.records import LevelCounts
from .session import Params, Session

_LEVELS = LevelCounts.__struct_fields__
COLUMNS = [f"{level}_count" for level in _LEVELS]
ADD = ", ".join(f"{column} = {column} + ?" for column in COLUMNS)
"""Assignments in an UPDATE of `runs`; `row` gives their parameters."""
ADD_LISTED = ", ".join(f"{column} = {column} + c{at}" for at, column in enumerate(COLUMNS, 3))
"""The same from the columns c3 … of a `listed` table."""

UPGRADE = """
ALTER TABLE runs ADD COLUMN debug_count {integer} NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN info_count {integer} NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN warn_count {integer} NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN error_count {integer} NOT NULL DEFAULT 0;
UPDATE runs SET (debug_count, info_count, warn_count, error_count) = (
    SELECT count(*) FILTER (WHERE label = 'debug'), count(*) FILTER (WHERE label = 'info'),
        count(*) FILTER (WHERE label = 'warn'), count(*) FILTER (WHERE label = 'error')
    FROM events WHERE run_id = runs.id AND type = 'run_log' AND seq IS NOT NULL
);
CREATE INDEX events_by_level ON events (run_id, label, (seq + 0))
    WHERE type = 'run_log' AND label <> 'info';
"""
"""The statements that add the counts, and the index of levels, to the tables of version 2."""


def row(counts: Mapping[str, int]) -> Params:
    return tuple(counts[level] for level in _LEVELS)


async def counts(session: Session, run_id: str) -> LevelCounts:
    """The counts of a run, all 0 if there is no such run."""
    sql = f"SELECT {', '.join(COLUMNS)} FROM runs WHERE id = ?"
    rows = await session.execute(sql, (run_id,))
    return LevelCounts(**dict(zip(_LEVELS, rows[0], strict=True))) if rows else LevelCounts()


async def subtract(session: Session, run_id: str, which: str, params: Params) -> None:
    """Take off the log entries that the condition `which` selects: they are about to be deleted."""
    sql = f"SELECT label, count(*) FROM events WHERE {which} GROUP BY label"
    leaving: dict[Any, Any] = dict(await session.execute(sql, params))
    fewer = {level: -leaving.get(level, 0) for level in _LEVELS}
    await session.execute(f"UPDATE runs SET {ADD} WHERE id = ?", (*row(fewer), run_id))
