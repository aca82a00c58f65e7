"""The spool: lines that wait on disk for the service, written by one process and read by it or after it.

    {"version":1,"base":…,"sent":…,"sending":…}      the cursor: 128 bytes, overwritten in place
    {"run_id":…,"instance":…,…}                       the run, as it is to be registered
    {"type":"run_log",…}                              lines, as they are sent
    {"end":"completed","error":null}                  how the run ended, when it has

`sent` and `sending` are bytes behind the second line: what has been acknowledged, and the end of the
group that was on its way. A group is sent again exactly as it was, under the key of its place in the
process's stream of lines, so the service stores it once however often, and by whomever, it is sent.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from ...exceptions import AthanorError

try:
    import fcntl
except ImportError:  # no locks on Windows: there `sync` has to be told when nobody writes
    fcntl = None  # type: ignore[assignment]

GROUP_BYTES = 1_000_000
"""Lines that are sent together: 10,000 or so, an eighth of the largest body the service takes."""
MAX_BYTES = 1024**3
"""The largest spool; lines that come when it is full are dropped and counted."""
CURSOR_BYTES = 128


class Registration(msgspec.Struct, kw_only=True, frozen=True):
    """What the service has to know of a run before it takes lines for it."""

    run_id: str
    instance: str
    metadata: dict[str, object] = {}
    configuration: dict[str, object] = {}
    member: bool = False
    """Whether another process begins and ends the run."""
    producer: str
    """This process, in its idempotency keys."""
    url: str


class End(msgspec.Struct, kw_only=True, frozen=True):
    """How a run ended."""

    end: Literal["completed", "failed", "cancelled"]
    error: str | None = None


class Batch(NamedTuple):
    """Lines to be sent together; `place` is that of the first byte in the process's stream."""

    place: int
    data: bytes


class _Cursor(msgspec.Struct, kw_only=True):
    version: int = 1
    base: int
    """The place in the process's stream at which this file's lines begin."""
    sent: int = 0
    sending: int = 0


class SpoolInUse(AthanorError):
    """The process that writes it is alive."""


class SpoolFull(AthanorError):
    """It has reached its bound."""


class Spool:
    """One process's lines of one run, on disk. `OSError` where the disk can't take them."""

    def __init__(self, path: Path, file: int, registration: Registration, start: int) -> None:
        self.path = path
        self.registration = registration
        self._file = file
        self._start = start
        self._cursor = _Cursor(base=0)
        self._size = 0

    @classmethod
    def create(
        cls, folder: Path, registration: Registration, place: int, data: bytes, sending: int
    ) -> Spool:
        """A new file with the lines `data` from `place` on, the first `sending` bytes on their way."""
        _make(folder)
        path = folder / f"{registration.run_id}-{registration.producer}.ndjson"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        file = os.open(path, flags, 0o600)
        try:
            _lock(file, path)
            head = msgspec.json.encode(registration) + b"\n"
            spool = cls(path, file, registration, CURSOR_BYTES + len(head))
            spool._cursor = _Cursor(base=place, sending=sending)
            spool._write(spool._cursor_line() + head + data, 0)
            spool._size = len(data)
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return spool

    @classmethod
    def open(cls, path: Path) -> Spool:
        """One that an earlier process left; `SpoolInUse` if it lives, `ValueError` if it is no spool."""
        file = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            _lock(file, path)
            head = os.pread(file, CURSOR_BYTES, 0)
            while b"\n" not in head[CURSOR_BYTES:]:
                more = os.pread(file, 65536, len(head))
                if not more:
                    raise ValueError(f"{path} is no spool: it has no second line")
                head += more
            first, second = head[:CURSOR_BYTES], head[CURSOR_BYTES:].partition(b"\n")[0]
            cursor = msgspec.json.decode(first, type=_Cursor)
            if cursor.version != 1:
                raise ValueError(f"{path} was written by a later version of Athanor")
            registration = msgspec.json.decode(second, type=Registration)
            spool = cls(path, file, registration, CURSOR_BYTES + len(second) + 1)
            spool._cursor = cursor
            spool._size = max(0, os.fstat(file).st_size - spool._start)
        except BaseException:
            os.close(file)
            raise
        return spool

    @property
    def waiting(self) -> int:
        """Bytes that are not acknowledged."""
        return self._size - self._cursor.sent

    def append(self, data: bytes, last: bool = False) -> None:
        """Whole lines; all of them are written, or none. The `last` are, be it full or not."""
        if self._size + len(data) > MAX_BYTES and not last:
            raise SpoolFull(f"{self.path} has reached {MAX_BYTES:,} bytes")
        self._write(data, self._start + self._size)
        self._size += len(data)

    def next(self) -> Batch | None:
        """The group to be sent, noted as on its way; None if nothing waits, or only the end."""
        cursor = self._cursor
        if cursor.sending <= cursor.sent:
            data = self._lines(cursor.sent, GROUP_BYTES)
            if not data:
                return None
            self._move(cursor.sent, cursor.sent + len(data))
        else:
            data = os.pread(self._file, cursor.sending - cursor.sent, self._start + cursor.sent)
        return Batch(cursor.base + cursor.sent, data)

    def done(self) -> None:
        """The group was acknowledged."""
        self._move(self._cursor.sending, self._cursor.sending)

    def end(self) -> End | None:
        """How the run ended, if its process could still say so; read when no lines wait."""
        rest = os.pread(self._file, max(0, self.waiting), self._start + self._cursor.sent)
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(rest, type=End)
        return None

    def count(self) -> int:
        """Lines that are not acknowledged."""
        lines, place = 0, self._start + self._cursor.sent
        while data := os.pread(self._file, 1 << 20, place):
            lines += data.count(b"\n")
            place += len(data)
        return lines

    def close(self) -> None:
        """Leave it for `athanor sync`."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def remove(self) -> None:
        """Everything was delivered."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()

    def _lines(self, place: int, most: int) -> bytes:
        """Whole lines from `place` on, about `most` bytes of them, and one at least; not the end."""
        data = os.pread(self._file, min(most, self._size - place), self._start + place)
        while data and b"\n" not in data:
            more = os.pread(self._file, most, self._start + place + len(data))
            if not more:
                return b""  # torn off: its process died while it wrote
            data += more
        data = data[: data.rfind(b"\n") + 1]
        last = data.rfind(b"\n", 0, len(data) - 1) + 1
        return data[:last] if data.startswith(b'{"end":', last) else data

    def _move(self, sent: int, sending: int) -> None:
        self._cursor.sent, self._cursor.sending = sent, sending
        os.pwrite(self._file, self._cursor_line(), 0)

    def _cursor_line(self) -> bytes:
        return msgspec.json.encode(self._cursor).ljust(CURSOR_BYTES - 1) + b"\n"

    def _write(self, data: bytes, place: int) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, data[written:], place + written)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, place)
            raise


def _make(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        if folder.parent.name == ".athanor":
            (folder.parent / ".gitignore").write_text("*\n")


def _lock(file: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpoolInUse(f"{path} is being written by a process that is alive") from None
