"""Idle streams: what the service's resident set grows by, and its CPU while nothing happens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from . import servers
from .harness import Figures, cpu_seconds, report, rss_kib
from .load import Load
from .measurement import Measurement, Party, Scale, Target
from .servers import Server

STREAMS = 2000
KEEPALIVE = 15.0
"""Seconds between two comments of an idle stream, at Athanor and at sse-starlette."""
AGENT = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\r\n"
MEMORY, REST = "KiB per idle stream", "CPU at rest, %"


def hold(serving: Callable[[], AbstractContextManager[Server]], streams: int, seconds: float) -> Figures:
    """Open the streams, and watch the server for some seconds."""
    with serving() as server:
        requests = [request.removesuffix("\r\n") + AGENT for request in server.requests]
        before = rss_kib(server.process)
        with Load(server.port, streams, requests, server.ready) as load:
            load.open()
            grown = rss_kib(server.process) - before
            # what follows the opening is not rest
            time.sleep(1)
            cpu = cpu_seconds(server.process)
            began = time.perf_counter()
            time.sleep(seconds)
            cpu = cpu_seconds(server.process) - cpu
            elapsed = time.perf_counter() - began
        return {MEMORY: grown / streams, REST: 100 * cpu / elapsed}


def measure() -> Figures:
    return {MEMORY: hold(servers.athanor, STREAMS, 0.1)[MEMORY]}


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    streams, seconds = scale.of(10_000, 1000), KEEPALIVE / scale.of(1, 5)
    yield {
        "Athanor": partial(hold, servers.athanor, streams, seconds),
        "sse-starlette, a queue per client": partial(hold, servers.sse_starlette, streams, seconds),
    }


MEASUREMENT = Measurement(
    name="idle",
    title="10,000 idle streams",
    text=(
        "The resident set with 10,000 streams, less what it was without. CPU at rest is measured for "
        "15 s, in which each stream gets one keep-alive."
    ),
    parties=parties,
    targets=[
        Target("an idle stream, KiB", lambda turn: turn["Athanor"][MEMORY], most=14),
        Target("CPU at rest with 10,000 streams, %", lambda turn: turn["Athanor"][REST], most=1),
    ],
    plotted=[MEMORY, REST],
)


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
