"""Athanor as a process of its own, on uvicorn."""

from __future__ import annotations

import sys

import uvicorn

from .application import Application, create_app
from .exceptions import ConfigurationError

SWITCH_INTERVAL = 0.0005
"""Seconds after which a thread gives up the interpreter's lock: the database's threads need it for
moments only, and would wait the default 5 ms for each beside a busy event loop."""


def serve(app: Application | None = None) -> None:
    """Serve until SIGTERM or SIGINT; settings say where. Ends with 0, or 3 if it could not start."""
    try:
        app = app or create_app()
    except ConfigurationError as error:
        sys.exit(f"athanor: {error}")
    settings = app.engine.settings
    sys.setswitchinterval(SWITCH_INTERVAL)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level,
        access_log=settings.log_level in ("debug", "trace"),
        ws="none",
        proxy_headers=False,  # nothing here asks who the client is, or by which scheme
    )
