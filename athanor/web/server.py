"""Athanor as a process of its own on uvicorn, or as several worker processes behind one port."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from ..access.authenticator import Authenticator
from ..access.hosts import is_local
from ..config import Settings
from ..engine.athanor import Athanor
from ..exceptions import ConfigurationError
from .acceptor import BACKLOG
from .application import Application, create_app
from .files import raise_open_files_limit
from .gate import UNPROTECTED
from .log_safety import make_safe
from .uvicorn_adapter import STARTUP_FAILURE, OnReady, Server, Supervisor
from .worker_metrics import WorkerMetrics

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread releases the interpreter's lock. The database's threads need the
lock for moments only; beside a busy event loop they would wait the default 5 ms each time."""

COLLECTION = (50_000, 5, 40)
"""When the garbage collector runs (`gc.set_threshold`). Open streams are many objects, none of them
garbage: with 10,000 of them, the default made it look at all of them so often that a frame cost twice
as much. By the first number, most of what a request makes is gone by itself before it is looked at:
with 10,000 that took a sixth of the cost of clients that come back. The product of the first two bounds
the second kind of pause, and that of all three is how rare the longest are."""

FOLDER = "_ATHANOR_WORKERS"
"""The environment variable with the folder in which workers find each other's metrics."""


def serve(
    app: Application | None = None,
    listener: socket.socket | None = None,
    on_ready: OnReady = None,
) -> None:
    """Serve until SIGTERM or SIGINT, at the address in the settings or on a `listener`.

    With more than one of `workers` in the settings, each worker has an application of its own with
    the settings of `app`. `on_ready` is called once, when requests are answered. Returns after an
    orderly shutdown. Raises `SystemExit`: with a message if a setting is wrong, with code 3 if the
    service could not start.
    """
    try:
        app = app or create_app()
    except ConfigurationError as error:
        sys.exit(f"athanor: {error}")
    # workers inherit it
    raise_open_files_limit()
    settings = app.engine.settings
    try:
        check_bind(settings, app.authenticator, listener)
    except ConfigurationError as error:
        sys.exit(f"athanor: {error}")
    if settings.workers > 1:
        _supervise(settings, listener, on_ready)
        return
    _prepare_process()
    server = Server(uvicorn.Config(app, **_options(settings)), on_ready)
    server.run([listener] if listener is not None else None)
    if not server.started:
        sys.exit(STARTUP_FAILURE)


def check_bind(
    settings: Settings, authenticator: Authenticator, listener: socket.socket | None = None
) -> None:
    """Raises `ConfigurationError` if other machines would reach a service that asks for no token."""
    host = settings.host if listener is None else str(listener.getsockname()[0])
    if authenticator.is_open and not settings.insecure and not is_local(host):
        raise ConfigurationError(f"the service would listen on {host}, but {UNPROTECTED}")


def _prepare_process() -> None:
    """Set up what belongs to the whole process: it is ours, and no host application's."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.set_threshold(*COLLECTION)
    # the errors that these log may quote a request
    for name in ("uvicorn.error", "asyncio", "athanor.audit"):
        make_safe(name)


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "backlog": BACKLOG,
        "log_level": settings.log_level,
        "log_config": _log_config(settings.log_level),
        "access_log": settings.log_level in ("debug", "trace"),
        "ws": "none",
        # nothing here asks for the client's address or scheme
        "proxy_headers": False,
    }


def _log_config(level: str) -> dict[str, Any]:
    """uvicorn's own, with our loggers beside its: without a handler, only warnings would be shown."""
    ours = {
        "handlers": ["default"],
        "level": {"trace": "DEBUG"}.get(level, level.upper()),
        "propagate": False,
    }
    return {**LOGGING_CONFIG, "loggers": {**LOGGING_CONFIG["loggers"], "athanor": ours}}


def _supervise(settings: Settings, listener: socket.socket | None, on_ready: OnReady) -> None:
    with tempfile.TemporaryDirectory(prefix="athanor-") as folder:
        os.environ |= {**settings.to_env(), FOLDER: folder}
        config = uvicorn.Config(
            "athanor.web.server:worker", factory=True, workers=settings.workers, **_options(settings)
        )
        supervisor = Supervisor(config, [listener or config.bind_socket()], on_ready)
        supervisor.run()
        if supervisor.startup_failed:
            sys.exit(STARTUP_FAILURE)


class Worker(Application):
    """The application of one of several worker processes behind a port."""

    def __init__(self, engine: Athanor, folder: Path) -> None:
        super().__init__(engine)
        self.worker_metrics = WorkerMetrics(folder, self.metrics)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with super().running(), self.worker_metrics.serving():
            yield


def worker() -> Worker:
    """The application that a worker serves; uvicorn calls this in the worker's process."""
    _prepare_process()
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    return Worker(Athanor(), Path(os.environ[FOLDER]))


def _end_with_supervisor() -> None:
    """End this worker when its supervisor ends.

    A supervisor that is killed can't end its workers, and they would keep the port.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        supervisor.join()
        os.kill(os.getpid(), signal.SIGTERM)
