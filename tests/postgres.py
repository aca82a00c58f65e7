"""A database of the test's own on the PostgreSQL server that is there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg

SERVER = os.environ.get("ATHANOR_TEST_POSTGRES") or "postgresql://postgres@127.0.0.1:5432"


def run_sql(sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
    """The rows of one statement, run by the server's owner."""

    async def ask() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(f"{SERVER}/{database}", timeout=5)
        try:
            return [tuple(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(ask())


def answers() -> bool:
    try:
        return run_sql("SELECT 1") == [(1,)]
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return False


@contextlib.contextmanager
def new_database() -> Iterator[str]:
    """The URL of an empty database."""
    name = f"athanor_{uuid.uuid4().hex[:12]}"
    run_sql(f"CREATE DATABASE {name}")
    try:
        yield f"{SERVER}/{name}"
    finally:
        run_sql(f"DROP DATABASE {name} WITH (FORCE)")
