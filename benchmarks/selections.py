"""CPU of a flush of a hot run for 500 readers, and of its replay for 200: of one selection, and each
of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable

from athanor import Athanor, Settings
from athanor.live import formats
from athanor.live.subscription import Subscription
from athanor.protocol.entries import LogInput
from athanor.protocol.events import StoredEvent

from .harness import Figures, report

READERS = 500
ROWS, BYTES = 3000, 200
"""One flush of about 850 KiB, which an inbox of 1 MiB can hold."""
REPLAYED = 20_000
"""Entries of about 4 MB in all that each replay has."""
REPLAYS = 200
TOPICS = 128


def measure() -> Figures:
    return asyncio.run(_measure())


async def _measure() -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        async with Athanor(Settings(database_url=f"sqlite:///{folder}/athanor.db")) as athanor:
            instance = await athanor.create_instance("selections")
            hot = (await athanor.create_run(instance.id)).id
            others = await asyncio.gather(*(athanor.create_run(instance.id) for _ in range(READERS)))
            hot_topic = f"experiments:run:{hot}"
            mine = [f"experiments:run:{other.id}" for other in others]
            flush = _Flush(athanor, hot)
            one = await flush.cpu(lambda _: athanor.subscribe(hot_topic))
            distinct = await flush.cpu(lambda i: athanor.subscribe(hot_topic, mine[i]))
            active = await flush.cpu(
                lambda i: athanor.subscribe(hot_topic, mine[i]), [other.id for other in others]
            )
            await _fill(athanor, hot)
            begin = athanor.cursor(0)

            def several(i: int) -> Subscription:
                return athanor.subscribe(hot_topic, *_some(mine, i), after=begin)

            newest = athanor.statistics().newest_event
            replays = {
                "one topic": await _replay(lambda _: athanor.subscribe(hot_topic, after=begin), newest),
                "one selection": await _replay(lambda _: several(0), newest),
                "200 selections": await _replay(several, newest),
            }
    return {
        "one selection, CPU ms": 1000 * one,
        "500 selections, CPU ms": 1000 * distinct,
        "500 selections, ratio": distinct / one,
        "500 selections, all runs active, CPU ms": 1000 * active,
        "500 selections, all runs active, ratio": active / one,
        **{f"replays of {name}, CPU ms": 1000 * cpu for name, cpu in replays.items()},
        "replays of 200 selections, ratio": replays["200 selections"] / replays["one selection"],
    }


async def _fill(athanor: Athanor, run: str) -> None:
    await athanor.start_run(run)
    lines = [LogInput(message="x" * 100) for _ in range(2000)]
    for _ in range(REPLAYED // len(lines)):
        await athanor.append(run, lines)


def _some(topics: list[str], number: int) -> list[str]:
    """`TOPICS` less one of the topics, others for each number."""
    step = 1 + number % 7
    return [topics[(37 * number + step * at) % len(topics)] for at in range(TOPICS - 1)]


async def _replay(subscribe: Callable[[int], Subscription], newest: int) -> float:
    """CPU seconds of `REPLAYS` readers that replay everything, up to `newest`, at the same time."""

    async def read(reader: Subscription) -> None:
        reached = 0
        async with reader:
            while reached < newest:
                for frame in await reader.next():
                    frame.encode(formats.sse)
                    reached = frame.last or reached

    # without the pages that were kept for others
    await asyncio.sleep(1.5)
    begin = time.process_time()
    await asyncio.gather(*(read(subscribe(i)) for i in range(REPLAYS)))
    return time.process_time() - begin


class _Flush:
    """Broadcasts of the same rows under new numbers; the database is not involved."""

    def __init__(self, athanor: Athanor, run: str) -> None:
        self._athanor = athanor
        self._run = run

    async def cpu(
        self, subscribe: Callable[[int], Subscription], others: list[str] | None = None
    ) -> float:
        """CPU seconds to broadcast one flush to all readers, and to encode it as each sends it.

        `others` are runs with one entry each in the same flush.
        """
        hub = self._athanor.parts.hub
        readers = [subscribe(i) for i in range(READERS)]
        for reader in readers:
            await reader.open()
        first = hub.newest + 1
        runs = [*(others or []), *[self._run] * ROWS]
        rows = [_row(first + i, run) for i, run in enumerate(runs)]
        begin = time.process_time()
        hub.broadcast(rows, rows[-1].n)
        for reader in readers:
            reached = first - 1
            while reached < rows[-1].n:
                for frame in await reader.next():
                    frame.encode(formats.sse)
                    reached = frame.last or reached
        spent = time.process_time() - begin
        for reader in readers:
            reader.close()
        return spent


def _row(n: int, run: str) -> StoredEvent:
    data = b'{"seq":%d,"level":"info","message":"%b","metadata":null}' % (n, b"x" * BYTES)
    return StoredEvent(n, "run_log", None, run, n, "info", data)


if __name__ == "__main__":
    report(" ".join(__doc__.split()), measure)
