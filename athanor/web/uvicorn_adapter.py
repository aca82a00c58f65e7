"""Everything that depends on undocumented parts of uvicorn.

`tests/contract/test_uvicorn_adapter.py` names each of these parts, and `pyproject.toml` limits
uvicorn to the minor version with which they were tested.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

OnReady = Callable[[], None] | None
STARTUP_FAILURE = 3
"""uvicorn's exit code for a process that could not start."""


class Server(uvicorn.Server):
    """A server that calls `on_ready` once, when it answers requests."""

    def __init__(self, config: uvicorn.Config, on_ready: OnReady) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready()


class Supervisor(Multiprocess):
    """Workers that share sockets. `on_ready` is called once, when all of them answer requests.

    A worker that dies is replaced; one that can't start ends them all.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], on_ready: OnReady) -> None:
        super().__init__(config, sockets)
        self._on_ready = on_ready

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
