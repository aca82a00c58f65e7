"""Athanor as a process of its own, on uvicorn; or as several behind one port."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from ..config import Settings
from ..engine.athanor import Athanor
from ..exceptions import ConfigurationError
from .application import Application, create_app
from .worker_metrics import WorkerMetrics

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread gives up the interpreter's lock: the database's threads need it for
moments only, and would wait the default 5 ms for each beside a busy event loop."""

COULD_NOT_START = 3
"""The exit code, as uvicorn has it."""

FOLDER = "_ATHANOR_WORKERS"
"""The variable by which workers learn where they find each other."""


def serve(
    app: Application | None = None,
    listener: socket.socket | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; settings say where, unless a `listener` is given.

    With more than one of `workers`, each has an application of its own with the settings of `app`.
    `on_ready` is called once, when requests are answered. Returns after a shutdown in order, and
    exits with 3 if it could not start.
    """
    try:
        app = app or create_app()
    except ConfigurationError as error:
        sys.exit(f"athanor: {error}")
    settings = app.engine.settings
    if settings.workers > 1:
        _supervise(settings, listener, on_ready)
        return
    sys.setswitchinterval(SWITCH_INTERVAL)
    server = _Server(uvicorn.Config(app, **_options(settings)), on_ready)
    server.run([listener] if listener is not None else None)
    if not server.started:
        sys.exit(COULD_NOT_START)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "log_level": settings.log_level,
        "access_log": settings.log_level in ("debug", "trace"),
        "ws": "none",
        "proxy_headers": False,  # nothing here asks who the client is, or by which scheme
    }


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_ready is not None:
            self._on_ready()


def _supervise(
    settings: Settings, listener: socket.socket | None, on_ready: Callable[[], None] | None
) -> None:
    """Workers that share a socket. One that dies is replaced; one that can't start ends them all."""
    with tempfile.TemporaryDirectory(prefix="athanor-") as folder:
        os.environ |= {**settings.to_env(), FOLDER: folder}
        config = uvicorn.Config(
            "athanor.web.server:worker", factory=True, workers=settings.workers, **_options(settings)
        )
        supervisor = _Supervisor(config, [listener or config.bind_socket()], on_ready)
        supervisor.run()
        if any(process.exitcode == COULD_NOT_START for process in supervisor.processes):
            sys.exit(COULD_NOT_START)


class _Supervisor(Multiprocess):
    def __init__(
        self,
        config: uvicorn.Config,
        sockets: list[socket.socket],
        on_ready: Callable[[], None] | None,
    ) -> None:
        super().__init__(config, sockets)
        self._on_ready = on_ready

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        if self._on_ready is not None and all(process.is_ready() for process in self.processes):
            self._on_ready()
            self._on_ready = None


class Worker(Application):
    """One of several processes behind a port."""

    def __init__(self, engine: Athanor, folder: Path) -> None:
        super().__init__(engine)
        self.state.siblings = WorkerMetrics(folder, self.state.metrics)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with super().running(), self.state.siblings.listening():
            yield


def worker() -> Worker:
    """What a worker serves; called in its process."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return Worker(Athanor(), Path(os.environ[FOLDER]))


def _end_with_supervisor() -> None:
    """Who is killed can't say goodbye; its workers would keep the port for ever."""
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
