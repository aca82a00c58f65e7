"""One process for a file: SQLite's own lock on a second file, held while the store is open."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from pathlib import Path

from ..exceptions import ConfigurationError, DatabaseInUse


class ProcessLock:
    """A lock that the operating system releases when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """`path` is the real path of the database."""
        self._database = path
        self._path = beside(path, ".lock")
        self._connection: sqlite3.Connection | None = None
        self._found: tuple[int, int] | None = None

    def acquire(self) -> None:
        """Take the lock. Raises `DatabaseInUse` if another process has it.

        Raises `ConfigurationError` if the file can't be created.
        """
        try:
            self._create()
            connection = sqlite3.connect(
                self._path, timeout=0, isolation_level=None, check_same_thread=False
            )
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        except sqlite3.OperationalError as error:
            raise self._unusable(str(error)) from None
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            connection.close()
            if "locked" not in str(error):
                raise self._unusable(str(error)) from None
            raise DatabaseInUse(
                f"{self._database} is in use by another Athanor process, and SQLite serves one. "
                "Stop that one, or give this one another file in ATHANOR_DATABASE_URL; "
                "PostgreSQL is what serves several processes."
            ) from None
        self.release()
        self._connection = connection
        self._found = self._identity()

    def release(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def trouble(self) -> str | None:
        """Why another process may use the database now; None if none can.

        A lock file that was removed is made again: else a second process would make one of its own.
        """
        if self._connection is None or self._identity() == self._found:
            return None
        try:
            self.acquire()
        except (ConfigurationError, DatabaseInUse) as error:
            return f"{self._path} was removed, and can't be made again: {error}"
        return None

    def _create(self) -> None:
        """An empty file of mode 0600. Raises `OSError`."""
        if self._path.is_symlink():
            raise OSError(errno.ELOOP, f"{self._path} is a symbolic link; remove it")
        create_private(self._path)
        make_private(self._path)

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _unusable(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"ATHANOR_DATABASE_URL names {self._database}: {reason}")


def beside(path: Path, suffix: str) -> Path:
    """The file whose name is that of `path` and a suffix."""
    return path.with_name(path.name + suffix)


def create_private(path: Path) -> None:
    """Create an empty file of mode 0600 if nothing has that name. Raises `OSError`."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def make_private(path: Path) -> None:
    """Take the rights of others on a file away, if it is there and may be changed."""
    with contextlib.suppress(OSError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_mode & 0o177:
            path.chmod(0o600)
