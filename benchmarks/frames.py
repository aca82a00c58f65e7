"""CPU of the server for each frame delivered: frames of 1, 20 and 100 lines to 1,000 readers.

A frame is posted when all readers have received the one before, so each post is one frame.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial

from . import servers
from .harness import Figures, cpu_seconds
from .load import Load, is_compiled
from .measurement import Measurement, Party, Scale, Target, Turn
from .servers import Server

SIZES = (1, 20, 100)


def deliver(
    serving: AbstractContextManager[Server], readers: int, sizes: tuple[int, ...], posts: int
) -> Figures:
    """CPU for each frame and line that a server delivers; the bytes that a reader gets of a frame."""
    figures: Figures = {}
    with serving as server, Load(server.port, readers, server.requests, server.ready) as load:
        load.open()
        # the first posts warm up
        marks, begin = _publish(server, load, sizes[0], 3, 0)
        for lines in sizes:
            cpu = cpu_seconds(server.process)
            marks, end = _publish(server, load, lines, posts, marks)
            cpu = cpu_seconds(server.process) - cpu
            frames = posts * readers
            figures |= {
                f"CPU µs per frame of {lines}": 1e6 * cpu / frames,
                f"lines per CPU second, frames of {lines}": frames * lines / cpu,
                f"bytes of a frame of {lines}": (end - begin) / frames,
            }
            begin = end
    return figures


def _publish(server: Server, load: Load, lines: int, posts: int, marks: int) -> tuple[int, int]:
    """Publish frames one after the other; the marks until now, and the bytes."""
    received = 0
    for _ in range(posts):
        marks += lines * load.count
        load.begin(marks, lines)
        server.publish(lines)
        received = load.end()
    return marks, received


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    readers, posts = scale.of(1000, 200), scale.of(60, 10)
    found: dict[str, Party] = {
        "Athanor": partial(_deliver, servers.athanor, readers, posts),
        "nchan": servers.reason_without(servers.nchan_files)
        or partial(_deliver, servers.nchan, readers, posts),
        "sse-starlette, a queue per client": partial(_deliver, servers.sse_starlette, readers, posts),
        "Redis, XREAD": servers.reason_without(servers.redis_program)
        or partial(_deliver, servers.redis, readers, posts),
    }
    loop = "send(2) in C" if is_compiled("sender") else "send(2) in Python, for want of a C compiler"
    found[loop] = partial(_deliver, partial(servers.send_loop, readers), readers, posts)
    yield found


def _deliver(server: Callable[[], AbstractContextManager[Server]], readers: int, posts: int) -> Figures:
    return deliver(server(), readers, SIZES, posts)


def _loop(turn: Turn) -> Figures:
    return next(figures for name, figures in turn.items() if name.startswith("send(2)"))


def _times_c(lines: int) -> Target:
    figure = f"CPU µs per frame of {lines}"
    return Target(
        f"CPU per frame of {lines}, times that of a loop of send(2)",
        lambda turn: turn["Athanor"][figure] / _loop(turn)[figure],
        most=3,
    )


def _by_nchan(lines: int) -> Target:
    figure = f"CPU µs per frame of {lines}"
    return Target(
        f"frames of {lines} per CPU second, times those of nchan",
        lambda turn: turn["nchan"][figure] / turn["Athanor"][figure],
        least=0.7,
    )


MEASUREMENT = Measurement(
    name="frames",
    title="CPU per delivered frame, 1,000 subscribers",
    text=(
        "A frame is posted when every subscriber has received the one before. All send the same text. "
        "nchan, sse-starlette and Redis keep nothing on disk, and the loop neither parses nor stores; "
        "Athanor commits each frame with `synchronous=FULL` before it sends it "
        "(`ATHANOR_FLUSH_INTERVAL` is 5 ms, so that the posts follow each other). By the line, "
        "Athanor's frames of 100 are compared with nchan's messages of one line each."
    ),
    parties=parties,
    targets=[
        *(_times_c(lines) for lines in SIZES),
        *(_by_nchan(lines) for lines in SIZES),
        Target(
            "lines per CPU second (frames of 100), times those of nchan (a message each)",
            lambda turn: (
                turn["Athanor"]["lines per CPU second, frames of 100"]
                / turn["nchan"]["lines per CPU second, frames of 1"]
            ),
            least=25,
        ),
    ],
    plotted=[f"CPU µs per frame of {lines}" for lines in SIZES],
)
