"""The file of a SQLite database: one name, private, ours, and the one that was opened."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from pathlib import Path
from urllib.parse import quote

from ..exceptions import ConfigurationError
from .lock import ProcessLock, beside, create_private, make_private
from .schema import MARKS, stranger

logger = logging.getLogger("athanor")

WAL_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
TABLES_SQL = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
COLUMNS_SQL = "SELECT name FROM pragma_table_info(?)"

Identity = tuple[int, int]


class DatabaseFile:
    """A file and what SQLite keeps beside it. All methods block for some file operations.

    No method opens the file by itself: to close it again would release the locks that SQLite has on
    it in this process (POSIX).
    """

    def __init__(self, path: str) -> None:
        self._given = Path(path).absolute()
        # SQLite follows symlinks too, and keeps the log beside the real file
        self.path = Path(os.path.realpath(path))
        self.wal = beside(self.path, "-wal")
        self.lock = ProcessLock(self.path)
        self._file: Identity | None = None
        self._log: Identity | None = None
        self._size = 0

    def check(self) -> None:
        """Look at the file that is there, and change nothing.

        Raises `ConfigurationError` if it has other names, or is not a database of Athanor.
        """
        try:
            found = self.path.stat()
        except OSError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise self._unusable("it is not a file")
        if found.st_nlink > 1:
            raise self._unusable(
                f"this file has {found.st_nlink} names (hard links), and SQLite keeps a log beside "
                "each name, so two programs would destroy it: remove the other names, or copy it"
            )
        try:
            reason = stranger(self._tables()) if found.st_size else None
        except sqlite3.OperationalError:
            # locked by another program, for example: opening it says the same
            return
        except sqlite3.DatabaseError as error:
            raise self._unusable(f"{error}; give Athanor a file of its own") from None
        if reason is not None:
            raise self._unusable(
                f"this database is not Athanor's ({reason}); give Athanor a file of its own"
            )

    def _tables(self) -> dict[str, set[str]]:
        """The tables, and the columns of those that Athanor has too."""
        # a reader of a database with a log may have to create files beside it
        has_log = self.wal.exists() and self.wal.stat().st_size > 0
        uri = f"file:{quote(str(self.path))}?{'mode=ro' if has_log else 'immutable=1'}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            names = [name for (name,) in connection.execute(TABLES_SQL)]
            return {
                name: {column for (column,) in connection.execute(COLUMNS_SQL, (name,))}
                if name in MARKS
                else set()
                for name in names
            }

    def create(self) -> None:
        """Create the file if it is missing; make it and what is beside it private.

        Raises `ConfigurationError`.
        """
        try:
            create_private(self.path)
        except OSError as error:
            raise self._unusable(str(error.strerror)) from None
        for path in (self.path, self.wal, beside(self.path, "-shm")):
            make_private(path)

    def remember(self) -> None:
        """The database is open now: these are its files."""
        self._file, self._log = _identity(self.path), _identity(self.wal)
        self._size = self.path.stat().st_size

    def trouble(self, bytes_known: int) -> str | None:
        """Why what is written now would be lost; None if it would not.

        `bytes_known` is the size of the database as the open connection sees it.
        """
        # the name that was given may lead elsewhere by now
        found = _identity(self._given)
        if found is None:
            return f"{self.path} was removed; put it back, or restart Athanor for a new database"
        if found != self._file:
            return f"{self.path} was replaced by another file; restart Athanor to use that one"
        size = self._given.stat().st_size
        # the file shrinks only after somebody's VACUUM
        if not size or (size < self._size and bytes_known >= self._size):
            return f"{self.path} was cut off; stop Athanor, and restore a backup"
        self._size = size
        if _identity(self.wal) != self._log:
            return f"{self.wal} was removed or replaced; put it back, or restart Athanor without it"
        if not self._log_has_head():
            return f"{self.wal} was cut off or overwritten; restart Athanor"
        return self.lock.trouble()

    def _log_has_head(self) -> bool:
        """Whether the log is empty, or begins as a log does. SQLite has no lock on this file."""
        with self.wal.open("rb", buffering=0) as log:
            head = log.read(4)
        return not head or head in WAL_MAGIC

    def set_log_aside(self) -> None:
        """After the end: no other database may take this one's log for its own."""
        if self._file is None or self._log is None:
            return
        if _identity(self.path) != self._file and _identity(self.wal) == self._log:
            aside = beside(self.wal, time.strftime(".%Y%m%d-%H%M%S"))
            with contextlib.suppress(OSError):
                self.wal.rename(aside)
                logger.warning("%s belonged to another database, and is %s now", self.wal, aside)

    def _unusable(self, reason: str) -> ConfigurationError:
        return ConfigurationError(f"ATHANOR_DATABASE_URL names {self.path}: {reason}")


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
