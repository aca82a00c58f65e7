"""Hearing of a shutdown in time: a server waits for open streams before it tells the application.

uvicorn sends the lifespan's end only after every response is complete, and a stream never is. So
while the application runs, the server's signal handlers are preceded by ours.
"""

from __future__ import annotations

import asyncio
import math
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn
from sse_starlette.sse import AppStatus

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LAST_WORDS = 2.0
"""Seconds for what is answered behind `patience`: that it could not be written, for one."""


@contextmanager
def on_shutdown_signal(drain: Callable[[], Coroutine[Any, Any, None]], patience: float) -> Iterator[None]:
    """At the first SIGTERM or SIGINT run `drain` beside the server's own shutdown.

    uvicorn is told to exit in a way that leaves the process's exit code 0 (its own handler raises
    the signal again at the end), and to wait `patience` seconds and some for responses unless it was told
    how long. Where there is no handler to precede, or this is not the main thread, nothing is done.
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
        server = getattr(preceded[number], "__self__", None)
        if first and isinstance(server, uvicorn.Server):
            if server.config.timeout_graceful_shutdown is None:
                server.config.timeout_graceful_shutdown = math.ceil(patience + LAST_WORDS)
            AppStatus.should_exit = True  # for a host's own streams over sse-starlette
            server.should_exit = True
        else:
            preceded[number](number, frame)

    preceded: dict[int, Callable[[int, FrameType | None], Any]] = {}
    for name in SIGNALS:
        handler = signal.getsignal(name)
        if callable(handler) and handler is not signal.default_int_handler:
            preceded[name] = handler
            signal.signal(name, handle)
    try:
        yield
    finally:
        for number in preceded:
            signal.signal(number, preceded[number])
        for task in draining:
            task.cancel()
