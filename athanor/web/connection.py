"""The bounds of HTTP connections, whatever server has them.

`Connections` is what all connections of a service share. Each has a `Clock`, which knows what the
connection waits for and since when. Connections that wait for nothing cost nothing: streams without
events, and connections between two requests, which the server itself closes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable
from http import HTTPStatus
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

from ..config import Limits, Settings
from ..live.refusals import BODY_TIMEOUT, HEADER_TIMEOUT, WRITE_TIMEOUT, Refusals
from .files import open_files_limit
from .problems import Problem

RESERVED_FILES = 64
"""Descriptors that connections leave to the database, the listener, and clients that are refused."""
TICKS = 5
"""How often a waiting connection is looked at within the shortest of the times that it may wait."""
RETRY_AFTER = 10
"""Seconds after which a client that was refused for lack of room may come back."""


class Waiting(Protocol):
    """A connection that waits for its client."""

    def check(self, now: float) -> bool:
        """Act if the time is up. Returns whether the connection still waits."""


class Connections:
    """What the connections of one service have in common: bounds, counts, and those that wait."""

    def __init__(self, settings: Settings, limits: Limits, refusals: Refusals) -> None:
        self.limits = limits
        self.refusals = refusals
        self._most = settings.max_connections
        self._waiting: set[Waiting] = set()
        self._tick: asyncio.TimerHandle | None = None
        shortest = min(
            limits.header_timeout, limits.body_timeout, limits.write_timeout, limits.linger_timeout
        )
        self._interval = min(1.0, shortest / TICKS)

    @property
    def most(self) -> int:
        """How many connections there may be: by the settings, and by the limit of open files."""
        files = open_files_limit()
        return min(self._most, max(files - RESERVED_FILES, files // 2))

    def watch(self, connection: Waiting) -> None:
        """Call `connection.check` at intervals until it returns False."""
        self._waiting.add(connection)
        if self._tick is None:
            self._tick = asyncio.get_running_loop().call_later(self._interval, self._check_all)

    def forget(self, connection: Waiting) -> None:
        self._waiting.discard(connection)

    def _check_all(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._tick = loop.call_later(self._interval, self._check_all) if self._waiting else None
        for connection in list(self._waiting):
            if not connection.check(now):
                self._waiting.discard(connection)


class Clock:
    """Since when a connection waits for its client; times are those of the event loop.

    `head` and `body` are times of the last progress, or None while no head or body is expected.
    """

    __slots__ = ("_limits", "_unsent", "_write", "body", "head", "lingering")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.head: float | None = None
        self.body: float | None = None
        self.lingering: float | None = None
        """Since when a refused connection is only read, so that its client receives the refusal."""
        self._write: float | None = None
        self._unsent = 0

    @property
    def is_waiting(self) -> bool:
        times = (self.head, self.body, self.lingering, self._write)
        return any(time is not None for time in times)

    def wait_for_reader(self, now: float, unsent: int) -> None:
        """The client has `unsent` bytes to read before the connection can go on."""
        self._write, self._unsent = now, unsent

    def reader_is_back(self) -> None:
        self._write = None

    def look_at_reader(self, now: float, unsent: Callable[[], int]) -> None:
        """Notice what the client has read since."""
        if self._write is not None:
            left = unsent()
            if left < self._unsent:
                self._write = now
            self._unsent = left

    def pause(self, now: float) -> None:
        """The client can't send at the moment, so its time does not run."""
        self.head = None if self.head is None else now
        self.body = None if self.body is None else now

    def expired(self, now: float) -> str | None:
        """The reason for which the connection has to end now, if it has to."""
        limits = self._limits
        if self._write is not None and now - self._write >= limits.write_timeout:
            return WRITE_TIMEOUT
        if self.head is not None and now - self.head >= limits.header_timeout:
            return HEADER_TIMEOUT
        if self.body is not None and now - self.body >= limits.body_timeout:
            return BODY_TIMEOUT
        return None

    def lingered(self, now: float) -> bool:
        return self.lingering is not None and now - self.lingering >= self._limits.linger_timeout


def unsent_bytes(transport: asyncio.WriteTransport) -> int:
    """What is written and not received: the transport's buffer and that of the kernel.

    The kernel's may have megabytes, and asks for more only after a part of them is read. So without
    it a client that reads slowly would look like one that does not read.
    """
    size = transport.get_write_buffer_size()
    socket = transport.get_extra_info("socket")
    try:
        queue = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except (AttributeError, OSError, ValueError):
        # the socket is closed, or the system can't tell
        return size
    return size + int(struct.unpack("i", queue)[0])


def discard_unsent(transport: asyncio.WriteTransport) -> None:
    """Let the kernel drop what it has for the client when the connection is closed.

    Otherwise it would keep up to some megabytes for minutes.
    """
    with contextlib.suppress(AttributeError, OSError):
        socket = transport.get_extra_info("socket")
        socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


def refusal(status: int, detail: str) -> bytes:
    """A whole response for a connection that ends with it."""
    problem = Problem(status, detail, {"retry-after": str(RETRY_AFTER)} if status == 503 else None)
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()]
    lines += [name + b": " + value for name, value in problem.raw_headers]
    lines += [b"connection: close", b"", bytes(problem.body)]
    return b"\r\n".join(lines)
