"""Shutdown signals: streams end while the server waits for them.

A server ends the lifespan only after every response is complete, and a stream by itself never is.
So while the application runs, its own signal handlers are called before those of the server.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from .event_stream import end_other_streams
from .uvicorn_adapter import stop_server

SIGNALS: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)
RESPONSE_MARGIN = 2.0
"""Seconds after `timeout` for last responses, such as a 503 for entries that were not stored."""


@contextmanager
def on_shutdown_signal(drain: Callable[[], Coroutine[Any, Any, None]], timeout: float) -> Iterator[None]:
    """Run `drain` beside the server's own shutdown at the first SIGTERM or SIGINT.

    A uvicorn server then exits with code 0. It waits for open responses a little longer than
    `timeout` seconds, unless it is configured otherwise. Nothing happens outside the main thread,
    or for a signal that has no handler yet.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    draining: set[asyncio.Task[None]] = set()

    def begin() -> None:
        if not draining:
            draining.add(loop.create_task(drain(), name="athanor-drain"))

    def handle(number: int, frame: FrameType | None) -> None:
        first = not draining
        loop.call_soon_threadsafe(begin)
        if first and stop_server(previous[number], timeout + RESPONSE_MARGIN):
            end_other_streams()
        else:
            previous[number](number, frame)

    previous: dict[int, Callable[[int, FrameType | None], Any]] = {}
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            previous[number] = handler
            signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        for task in draining:
            task.cancel()
