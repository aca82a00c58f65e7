"""Keeps the client's own requests out of the experiment's log."""

from __future__ import annotations

import logging
import threading

OWN = "athanor-"
"""How the names of the client's threads begin."""


def is_own_thread() -> bool:
    return threading.current_thread().name.startswith(OWN)


def hush() -> None:
    """httpx logs every request at INFO; who configured logging did not ask for ours."""
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_not_ours)


def _not_ours(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(OWN)
