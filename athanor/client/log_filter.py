"""The filter that keeps the client's own HTTP requests out of the experiment's log."""

from __future__ import annotations

import logging
import threading

THREAD_PREFIX = "athanor-"
"""The names of the client's threads begin with this."""


def is_own_thread() -> bool:
    """Whether the calling thread is one of the client's own."""
    return threading.current_thread().name.startswith(THREAD_PREFIX)


def filter_http_logs() -> None:
    """Drop what the client's threads log through httpx, which logs each request at level INFO."""
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.proxy"):
        logging.getLogger(name).addFilter(_is_foreign)


def _is_foreign(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith(THREAD_PREFIX)
