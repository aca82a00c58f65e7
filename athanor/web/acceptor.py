"""Accepts connections: no more than there may be, and what is refused is told so.

The servers of asyncio and uvloop accept without a bound. Without a free descriptor, uvloop closes
each new connection without a word, and asyncio logs a traceback for each.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable

from ..live.refusals import CONNECTIONS
from .connection import Connections, refusal
from .files import open_files_limit
from .notice import Notice

logger = logging.getLogger("athanor")

BACKLOG = 65_535
"""Connections that wait to be accepted: as many as the system allows (Linux: `net.core.somaxconn`,
4096). One more has to try again, a second later; with uvicorn's 2048, some of 5,000 clients that came
back at once did."""
BATCH = 16
"""Connections accepted before the event loop goes on, and other workers have their turn."""
LINGERING = 16
"""Refused clients that may take their time to read why."""
MARGIN = 24
"""Descriptors that no connection takes: `LINGERING` and a few."""
PAUSE = 0.5
"""Seconds until the next attempt after the system refused a connection."""
SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Acceptor:
    """Accepts from a listening socket of its own until it is closed.

    `make` gives a protocol for each connection, and `count` how many connections there are now.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
        connections: Connections,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._make = make
        self._count = count
        self._connections = connections
        self._most = connections.most
        self._last_file = open_files_limit() - MARGIN
        self._opening: set[asyncio.Task[None]] = set()
        self._lingering: set[socket.socket] = set()
        self._spare = _spare_file()
        self._pause: asyncio.TimerHandle | None = None
        interval = connections.limits.notice_interval
        self._refused = Notice(self._refused_text, interval)
        self._failed = Notice(self._failed_text, interval)
        self._failure = ""
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The sockets, as a server of asyncio has them."""
        return (self._listener,)

    def close(self) -> None:
        """Accept no more, and close the listening socket."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
        self._listener.close()
        for refused in list(self._lingering):
            self._end(refused)
        for notice in (self._refused, self._failed):
            notice.close()
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    async def wait_closed(self) -> None:
        """Nothing is left after `close`."""

    def _accept(self) -> None:
        for _ in range(BATCH):
            try:
                client, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                # another worker has it, or its client is gone
                return
            except OSError as error:
                if error.errno not in SHORTAGES:
                    raise
                self._no_room(error)
                return
            client.setblocking(False)
            taken = self._count() + len(self._opening)
            if taken >= self._most or client.fileno() >= self._last_file:
                self._refuse(client)
                continue
            task = self._loop.create_task(self._open(client))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, client: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._make, client)
        except OSError:
            # its client is gone
            client.close()

    def _refuse(self, client: socket.socket) -> None:
        self._connections.refusals.count(CONNECTIONS)
        self._refused.add()
        with contextlib.suppress(OSError):
            client.send(refusal(503, "there are too many connections; try again later"))
            client.shutdown(socket.SHUT_WR)
        if len(self._lingering) < LINGERING:
            # the kernel would discard the response if it were closed with unread data
            self._lingering.add(client)
            self._loop.add_reader(client, self._drop, client)
            self._loop.call_later(self._connections.limits.linger_timeout, self._end, client)
        else:
            with contextlib.suppress(OSError):
                client.recv(1 << 16)
            client.close()

    def _drop(self, client: socket.socket) -> None:
        try:
            ended = not client.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            ended = True
        if ended:
            self._end(client)

    def _end(self, client: socket.socket) -> None:
        if client in self._lingering:
            self._lingering.discard(client)
            self._loop.remove_reader(client)
            client.close()

    def _no_room(self, error: OSError) -> None:
        """The system has no descriptor: answer one client with the spare one, and wait a little."""
        self._failure = error.strerror or str(error)
        self._failed.add()
        if self._spare >= 0:
            os.close(self._spare)
            with contextlib.suppress(OSError):
                client, _address = self._listener.accept()
                client.setblocking(False)
                self._connections.refusals.count(CONNECTIONS)
                with contextlib.suppress(OSError):
                    client.send(refusal(503, "the service has no more descriptors; try again later"))
                    client.recv(1 << 16)
                client.close()
        self._spare = _spare_file()
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _refused_text(self, count: int) -> str:
        return (
            f"{count} connections were refused with 503, because {self._count()} are open and "
            f"{self._most} may be: ATHANOR_MAX_CONNECTIONS, and the limit of open files "
            f"(ulimit -n, LimitNOFILE), which is {open_files_limit()}"
        )

    def _failed_text(self, count: int) -> str:
        return (
            f"the system refused new connections {count} times: {self._failure}. The limit of open "
            f"files (ulimit -n, LimitNOFILE) is {open_files_limit()}, and {self._count()} "
            "connections are open"
        )


def _spare_file() -> int:
    try:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
