"""Tables of an older version: what the present ones have more is taken away."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from athanor.config import Settings
from athanor.store.levels import COLUMNS

from . import postgres

_VERSION_2 = (
    "DROP TABLE metrics",
    "DROP TABLE blocks",
    "DROP INDEX events_by_level",
    *(f"ALTER TABLE runs DROP COLUMN {column}" for column in COLUMNS),
)


def make_old(settings: Settings, version: int) -> None:
    """Make tables of version 1 or 2, whose difference is in their events only. No process runs."""
    statements = (*_VERSION_2, f"UPDATE meta SET value = '{version}' WHERE key = 'version'")
    if settings.sqlite_path is None:
        postgres.run_script(";\n".join(statements), settings.database_url.rpartition("/")[2])
        return
    with closing(sqlite3.connect(settings.sqlite_path)) as connection:
        connection.executescript(";\n".join(statements))
