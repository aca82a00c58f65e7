"""Athanor as a process of its own, on uvicorn."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable

import uvicorn

from .application import Application, create_app
from .exceptions import ConfigurationError

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread gives up the interpreter's lock: the database's threads need it for
moments only, and would wait the default 5 ms for each beside a busy event loop."""

COULD_NOT_START = 3
"""The exit code, as uvicorn has it."""


def serve(
    app: Application | None = None,
    listener: socket.socket | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; settings say where, unless a `listener` is given.

    `on_ready` is called once, when requests are answered. Returns after a shutdown in order, and
    exits with 3 if it could not start.
    """
    try:
        app = app or create_app()
    except ConfigurationError as error:
        sys.exit(f"athanor: {error}")
    settings = app.engine.settings
    sys.setswitchinterval(SWITCH_INTERVAL)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=settings.log_level in ("debug", "trace"),
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is, or by which scheme
    )
    server = _Server(config, on_ready)
    server.run([listener] if listener is not None else None)
    if not server.started:
        sys.exit(COULD_NOT_START)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready()
