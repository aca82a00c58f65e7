"""Everything that depends on undocumented parts of uvicorn, with the modules `uvicorn_*` beside it.

`tests/contract/test_uvicorn_adapter.py` names each of these parts, and `pyproject.toml` limits
uvicorn to the minor version with which they were tested.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess, multiprocess

from .acceptor import Acceptor
from .connection import Connections
from .uvicorn_bounds import Bounded
from .uvicorn_h11 import BoundedH11, H11Protocol

try:
    from .uvicorn_httptools import BoundedHttpTools, HttpToolsProtocol
except ImportError:  # pragma: no cover - httptools is for CPython only
    BoundedHttpTools = HttpToolsProtocol = None  # type: ignore[assignment,misc]

OnReady = Callable[[], None] | None
STARTUP_FAILURE = 3
"""uvicorn's exit code for a process that could not start."""
REPEATED = frozenset({"Invalid HTTP request received.", "Unsupported upgrade request."})
"""Warnings that a client can cause at will; `athanor_refused_total` counts them instead."""


class Server(uvicorn.Server):
    """A server that calls `on_ready` once, when it answers requests.

    Its connections have the bounds of the application's `connections`, if it is an `Application`.
    """

    def __init__(self, config: uvicorn.Config, on_ready: OnReady = None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        connections = _connections_of(self.config.loaded_app)
        if connections is not None:
            protocol = self.config.http_protocol_class
            self.config.http_protocol_class = _bounded(protocol, connections)
            logging.getLogger("uvicorn.error").addFilter(_is_not_repeated)
        await super().startup(sockets)
        if connections is not None and self.started:
            self._accept_with(connections)
        if self.started and self._on_ready is not None:
            self._on_ready()

    def _accept_with(self, connections: Connections) -> None:
        """Accept from the same sockets, but with a bound."""
        servers = self.servers
        self.servers = [
            Acceptor(  # type: ignore[misc]
                socket.socket(fileno=os.dup(listener.fileno())),
                self._make_protocol,
                lambda: len(self.server_state.connections),
                connections,
            )
            for server in servers
            for listener in server.sockets
        ]
        for server in servers:
            server.close()

    def _make_protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _connections_of(app: Any) -> Connections | None:
    """The bounds of the connections of an `Application`; uvicorn may have wrapped it."""
    while app is not None:
        if isinstance(connections := getattr(app, "connections", None), Connections):
            return connections
        app = getattr(app, "app", None)
    return None


def _bounded(protocol: Any, connections: Connections) -> Any:
    """uvicorn's protocol with bounds. Raises `TypeError` for one that has none here."""
    for original, bounded in ((HttpToolsProtocol, BoundedHttpTools), (H11Protocol, BoundedH11)):
        if original is not None and protocol is original:
            return functools.partial(bounded, connections)
    raise TypeError(f"there are no bounds for uvicorn's {protocol}; use httptools or h11")


def _is_not_repeated(record: logging.LogRecord) -> bool:
    return record.msg not in REPEATED


class WorkerProcess(multiprocess.Process):
    """A worker whose server is ours."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            self._server = Server(self.config)
        return self._server


class Supervisor(Multiprocess):
    """Workers that share sockets. `on_ready` is called once, when all of them answer requests.

    A worker that dies is replaced; one that can't start ends them all.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], on_ready: OnReady) -> None:
        super().__init__(config, sockets)
        self._on_ready = on_ready
        # it takes the class from here, in four places
        multiprocess.Process = WorkerProcess  # type: ignore[misc]

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._on_ready is not None and all(process.is_ready() for process in self.processes):
            self._on_ready()
            self._on_ready = None

    @property
    def startup_failed(self) -> bool:
        """Whether a worker could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)


def stop_server(handler: Any, timeout: float) -> bool:
    """Stop the uvicorn server that owns a signal handler; False if no such server does.

    The handler itself is not called: it would raise the signal again at the end, and the exit code
    would not be 0. The server waits `timeout` seconds for open responses, unless it is configured
    otherwise.
    """
    server = getattr(handler, "__self__", None)
    if not isinstance(server, uvicorn.Server):
        return False
    if server.config.timeout_graceful_shutdown is None:
        server.config.timeout_graceful_shutdown = math.ceil(timeout)
    server.should_exit = True
    return True


def transport_of(receive: Any) -> asyncio.Transport | None:
    """The connection of the request that has this `receive`; None if the server is not uvicorn.

    Middleware may wrap `receive`; then the result is None too.
    """
    transport = getattr(_cycle_of(receive), "transport", None)
    # uvloop's transports are no instances of asyncio's
    return transport if hasattr(transport, "set_write_buffer_limits") else None


def takes_chunks(receive: Any, send: Any) -> bool:
    """Whether chunks of HTTP/1.1 may be written to the connection of this response.

    That is what `send` does with a body, if it is httptools' own and has announced chunks: it waits
    for nothing but a connection that is not empty.
    """
    cycle = _cycle_of(receive)
    return _cycle_of(send) is cycle and bool(getattr(cycle, "chunked_encoding", False))


def bounds_writes(receive: Any) -> bool:
    """Whether the connection of this request cuts off a client that does not read."""
    transport = transport_of(receive)
    return transport is not None and isinstance(transport.get_protocol(), Bounded)


class JoinedWrites:
    """In the place of a cycle's transport: writes the head of a response together with what follows.

    Each write is a system call, and to a client on this machine also the delivery: 10 µs, which is
    most of a short response. ASGI lets a server keep the head until the body begins.
    """

    __slots__ = ("_cycle", "_head", "_transport")

    def __init__(self, receive: Any) -> None:
        self._cycle = _cycle_of(receive)
        # without one, nobody writes here
        self._transport: Any = transport_of(receive)
        self._head: bytes | None = None

    def __enter__(self) -> None:
        if self._transport is not None:
            self._cycle.transport = self

    def __exit__(self, *_: object) -> None:
        if self._transport is not None:
            self._cycle.transport = self._transport
            self._write_head()

    def write(self, data: bytes) -> None:
        """The first write is the head; what follows is written at once."""
        if self._head is None:
            self._head = data
        else:
            head, self._head = self._head, b""
            self._transport.write(head + data if head else data)

    def close(self) -> None:
        self._write_head()
        self._transport.close()

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def _write_head(self) -> None:
        # uvloop raises an error for a connection that is closed by now
        if self._head and not self._transport.is_closing():
            self._transport.write(self._head)
        self._head = b""


class Departure:
    """In the place of a cycle's `message_event`: calls `callback` when the client leaves.

    An event, and a task that waits for it, would take 2 KiB of each open stream.
    """

    __slots__ = ("_callback", "_cycle")

    def __init__(self, cycle: Any, callback: Callable[[], None]) -> None:
        self._cycle = cycle
        self._callback = callback

    def set(self) -> None:
        """Something has happened to the request."""
        if self._cycle.disconnected:
            self._callback()


def on_departure(receive: Any, callback: Callable[[], None]) -> bool:
    """Call `callback` when the client of this request leaves; it may be called more than once.

    False if that can't be: `receive` has to be awaited instead. Else it must not be awaited any more.
    """
    cycle = _cycle_of(receive)
    if transport_of(receive) is None or cycle.more_body:
        return False
    cycle.message_event = Departure(cycle, callback)
    if cycle.disconnected:
        callback()
    return True


def leave(receive: Any) -> None:
    """Tell uvicorn that the client of this request has left.

    It notes that by itself only for the newest request of a connection, and takes the end of an
    older one for an error.
    """
    cycle = _cycle_of(receive)
    if hasattr(cycle, "disconnected"):
        cycle.disconnected = True


def _cycle_of(receive: Any) -> Any:
    return getattr(receive, "__self__", None)
