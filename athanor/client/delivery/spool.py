"""The spool: entries that wait on disk, written by one process, and read by it or by a later one.

    {"version":1,"base":…,"sent":…,"sending":…}      the state: 128 bytes, overwritten in place
    {"run_id":…,"instance":…,…}                       the run, as it is to be registered
    {"type":"run_log",…}                              entries, as they are sent
    {"end":"completed","error":null}                  how the run ended, once it has

`sent` and `sending` count bytes after the second line: what has been acknowledged, and the end of
the batch that is being sent. A batch is sent again unchanged. Its idempotency key is its place in
the process's stream of entries, so the service stores it once, however often and by whichever
process it is sent.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from ...exceptions import AthanorError
from ..settings import without_login

try:
    import fcntl
except ImportError:
    # no locks on Windows: there `sync` must not run while a script does
    fcntl = None  # type: ignore[assignment]

STATE_BYTES = 128
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class Registration(msgspec.Struct, kw_only=True, frozen=True):
    """What the service has to know about a run before it takes entries for it."""

    run_id: str
    instance: str
    metadata: dict[str, Any] = {}
    configuration: dict[str, Any] = {}
    member: bool = False
    """Whether another process begins and ends the run."""
    merges: Literal["over", "under"] | None = None
    """What becomes of `metadata` if the run exists already: it replaces fields of the run's, or fills
    in those that are missing. `athanor run` fills in what its program does not say."""
    producer: str
    """This process's name in its idempotency keys."""
    url: str


class End(msgspec.Struct, kw_only=True, frozen=True):
    """How a run ended."""

    end: Literal["completed", "failed", "cancelled"]
    error: str | None = None


class Batch(NamedTuple):
    """Entries that are sent together; `place` is the first byte's, in the process's stream."""

    place: int
    data: bytes


class _State(msgspec.Struct, kw_only=True, omit_defaults=True):
    version: int = 1
    base: int
    """The place in the process's stream at which this file's entries begin."""
    sent: int = 0
    sending: int = 0
    done: bool = False
    """Everything was delivered, but the file can't be deleted."""


class SpoolInUse(AthanorError):
    """The process that writes it is alive."""


class SpoolFull(AthanorError):
    """It has reached its bound."""


class Spool:
    """One process's entries of one run, on disk. Raises `OSError` where the disk fails."""

    def __init__(self, path: Path, file: int, registration: Registration, start: int) -> None:
        self.path = path
        self.registration = registration
        self._file = file
        self._start = start
        self._state = _State(base=0)
        self._size = 0

    @classmethod
    def create(cls, folder: Path, registration: Registration, content: Batch, sending: int = 0) -> Spool:
        """A new file with the entries `content`, whose first `sending` bytes are being sent.

        Raises `OSError`, and leaves no file then.
        """
        _create_folder(folder)
        name = f"{registration.run_id}-{registration.producer}"
        path = folder / f"{name}.ndjson"
        # an earlier one of this process, which can't be deleted
        for number in itertools.count(1):
            if not path.exists():
                break
            path = folder / f"{name}.{number}.ndjson"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        file = os.open(path, flags, 0o600)
        try:
            _lock(file, path)
            # a password stays in memory; `athanor sync` takes it from ATHANOR_URL
            shown = msgspec.structs.replace(registration, url=without_login(registration.url))
            head = msgspec.json.encode(shown) + b"\n"
            spool = cls(path, file, registration, STATE_BYTES + len(head))
            spool._state = _State(base=content.place, sending=sending)
            spool._write(spool._state_line() + head + content.data, 0)
            spool._size = len(content.data)
        except BaseException:
            os.close(file)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return spool

    @classmethod
    def open(cls, path: Path) -> Spool:
        """The spool that an earlier process left.

        Raises `SpoolInUse` if that process is alive, `ValueError` if the file is not a spool, and
        `OSError`.
        """
        file = os.open(path, os.O_RDWR | _NO_LINK | getattr(os, "O_CLOEXEC", 0))
        try:
            _lock(file, path)
            head = os.pread(file, STATE_BYTES, 0)
            while b"\n" not in head[STATE_BYTES:]:
                more = os.pread(file, 65536, len(head))
                if not more:
                    raise ValueError(f"{path} is not a spool: it has no second line")
                head += more
            first, second = head[:STATE_BYTES], head[STATE_BYTES:].partition(b"\n")[0]
            state = msgspec.json.decode(first, type=_State)
            if state.version != 1:
                raise ValueError(f"{path} was written by a later version of Athanor")
            registration = msgspec.json.decode(second, type=Registration)
            spool = cls(path, file, registration, STATE_BYTES + len(second) + 1)
            spool._state = state
            spool._size = max(0, os.fstat(file).st_size - spool._start)
        except BaseException:
            os.close(file)
            raise
        return spool

    @property
    def waiting(self) -> int:
        """Bytes that are not acknowledged."""
        return self._size - self._state.sent

    def append(self, data: bytes, most: int | None = None) -> None:
        """Append whole entries: all or none.

        Raises `SpoolFull` if there were more than `most` bytes, or `OSError`.
        """
        if most is not None and self._size + len(data) > most:
            raise SpoolFull(f"{self.path} has reached {most:,} bytes")
        self._write(data, self._start + self._size)
        self._size += len(data)

    def next(self, most: int) -> Batch | None:
        """The batch to send, about `most` bytes, recorded as being sent; None if no entry waits."""
        state = self._state
        if state.sending <= state.sent:
            data = self._entries(state.sent, most)
            if not data:
                return None
            self._move(state.sent, state.sent + len(data))
        else:
            data = os.pread(self._file, state.sending - state.sent, self._start + state.sent)
        return Batch(state.base + state.sent, data)

    def done(self) -> None:
        """The batch was acknowledged."""
        self._move(self._state.sending, self._state.sending)

    def end(self) -> End | None:
        """How the run ended, once no entry waits; None if its process did not write it."""
        rest = os.pread(self._file, max(0, self.waiting), self._start + self._state.sent)
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(rest, type=End)
        return None

    def count(self) -> int:
        """The lines that are not acknowledged: entries, and the end."""
        lines, place = 0, self._start + self._state.sent
        while data := os.pread(self._file, 1 << 20, place):
            lines += data.count(b"\n")
            place += len(data)
        return lines

    def close(self) -> None:
        """Leave the file to `athanor sync`."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def is_done(self) -> bool:
        """Whether everything was delivered earlier, and only the file is left."""
        return self._state.done

    def remove(self) -> bool:
        """Delete the file: everything was delivered. False if that fails.

        Then the file stays locked until this process ends, and marked, so that no process delivers
        it again or ends its run.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError:
            self._state.done = True
            with contextlib.suppress(OSError):
                self._move(self._state.sent, self._state.sending)
            return False
        self.close()
        return True

    def _entries(self, place: int, most: int) -> bytes:
        """Whole entries from `place` on: about `most` bytes, and at least one; without the end."""
        data = os.pread(self._file, min(most, self._size - place), self._start + place)
        while data and b"\n" not in data:
            more = os.pread(self._file, most, self._start + place + len(data))
            if not more:
                # the process died while it wrote this entry
                return b""
            data += more
        data = data[: data.rfind(b"\n") + 1]
        last = data.rfind(b"\n", 0, len(data) - 1) + 1
        return data[:last] if data.startswith(b'{"end":', last) else data

    def _move(self, sent: int, sending: int) -> None:
        self._state.sent, self._state.sending = sent, sending
        os.pwrite(self._file, self._state_line(), 0)

    def _state_line(self) -> bytes:
        return msgspec.json.encode(self._state).ljust(STATE_BYTES - 1) + b"\n"

    def _write(self, data: bytes, place: int) -> None:
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._file, data[written:], place + written)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, place)
            raise


def _create_folder(folder: Path) -> None:
    """The folder and what is missing above it, for this user only. Raises `OSError`.

    A link at the place of the default folder may come from somebody else, with a repository for
    example, so nothing is written through it.
    """
    is_default = folder.parent.name == ".athanor"
    for path in (folder.parent, folder) if is_default else ():
        if path.is_symlink():
            reason = "it is a symbolic link; name the real folder in ATHANOR_SPOOL"
            raise OSError(errno.ELOOP, reason, str(path))
    is_new = not folder.is_dir()
    for path in reversed((folder, *folder.parents)):
        if not path.exists():
            path.mkdir(0o700, exist_ok=True)
    if is_default:
        # earlier versions made it readable by everybody
        with contextlib.suppress(OSError):
            folder.chmod(0o700)
        if is_new:
            _create_gitignore(folder.parent / ".gitignore")


def _create_gitignore(path: Path) -> None:
    """Unless there is something of that name, even a link that leads nowhere."""
    with contextlib.suppress(FileExistsError):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o600)
        with os.fdopen(file, "w") as out:
            out.write("*\n")


def _lock(file: int, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SpoolInUse(f"{path} is being written by a process that is alive") from None
