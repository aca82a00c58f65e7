"""Databases as version 2 of the tables had them: the tables of that version, and rows of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg

from athanor import Settings

FOLDER = Path(__file__).parent
AT = "2026-11-23T17:30:00.123456Z"

Entries = list[tuple[str, dict[str, Any]]]
"""The type and the fields of each entry, but for its `seq` and `timestamp`."""


async def make(settings: Settings, runs: dict[str, Entries]) -> None:
    """Make a database of version 2 with an instance, and running runs with these entries."""
    rows: list[tuple[str, tuple[Any, ...]]] = [
        ("INSERT INTO meta VALUES ('version', '2')", ()),
        ("INSERT INTO meta VALUES ('epoch', 'abcdef')", ()),
        ("INSERT INTO instances VALUES ('i', 'x', NULL, NULL, '{}', ?, ?, 1)", (AT, AT)),
    ]
    n = 1
    for run_id, entries in runs.items():
        counts = {"run_log": 0, "run_result": 0}
        n += 1
        created_n = n
        for type_, fields in entries:
            n += 1
            counts[type_] += 1
            seq = counts[type_]
            data = json.dumps({"seq": seq, **fields, "timestamp": AT}, separators=(",", ":"))
            label = fields["level" if type_ == "run_log" else "key"]
            sql = "INSERT INTO events VALUES (?, ?, NULL, ?, ?, ?, ?, ?)"
            rows.append((sql, (n, type_, run_id, seq, label, len(data), data)))
        sql = """
            INSERT INTO runs VALUES
            (?, 'i', 'running', NULL, '{}', ?, ?, NULL, NULL, ?, ?, ?, NULL, 0)"""
        rows.append((sql, (run_id, AT, AT, counts["run_log"], counts["run_result"], created_n)))
    if settings.sqlite_path is not None:
        await asyncio.to_thread(_on_sqlite, settings.sqlite_path, rows)
    else:
        rows.append(("UPDATE counter SET newest = ?", (n,)))
        await _on_postgresql(settings.database_url, rows)


def _on_sqlite(path: str, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript((FOLDER / "version_2.sqlite.sql").read_text())
        for sql, params in rows:
            connection.execute(sql, params)
        connection.commit()


async def _on_postgresql(url: str, rows: list[tuple[str, tuple[Any, ...]]]) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute((FOLDER / "version_2.postgresql.sql").read_text())
        for sql, params in rows:
            parts = sql.split("?")
            numbered = "".join(f"{part}${at}" for at, part in enumerate(parts[:-1], 1)) + parts[-1]
            # a text of PostgreSQL has no NUL: two other characters stand for it
            await connection.execute(numbered, *map(_escaped, params))
    finally:
        await connection.close()


def _escaped(value: Any) -> Any:
    return value.replace("\0", "\x01\x02") if isinstance(value, str) else value
