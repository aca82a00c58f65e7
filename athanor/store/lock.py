"""One process for a file: SQLite's own lock on a second file, held while the store is open."""

from __future__ import annotations

import sqlite3

from ..exceptions import ConfigurationError, DatabaseInUse


class ProcessLock:
    """A lock that the operating system releases when the process ends, however it ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `DatabaseInUse` if another process has it.

        Raises `ConfigurationError` if the file can't be created.
        """
        try:
            connection = sqlite3.connect(
                f"{self._path}.lock", timeout=0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.OperationalError as error:
            raise self._unusable(error) from None
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            connection.close()
            if "locked" not in str(error):
                raise self._unusable(error) from None
            raise DatabaseInUse(
                f"{self._path} is in use by another Athanor process, and SQLite serves one. "
                "Stop that one, or give this one another file in ATHANOR_DATABASE_URL; "
                "PostgreSQL is what serves several processes."
            ) from None
        self._connection = connection

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _unusable(self, error: Exception) -> ConfigurationError:
        return ConfigurationError(f"ATHANOR_DATABASE_URL names {self._path}: {error}")
