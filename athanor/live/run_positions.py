"""Where the events of runs are, read for many subscriptions at once."""

from __future__ import annotations

import asyncio
from functools import partial

from ..store import queries
from ..store.queries import RunPosition
from ..store.store import Store

MOST_RUNS = 5000
"""Runs of one read, about: those that are asked for at once may be a few more."""


class RunPositions:
    """Reads one after the other; what is asked for during a read is in the next one.

    When thousands of clients come back at once, they cost a few reads instead of one each.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked: set[str] = set()
        self._next: asyncio.Future[dict[str, RunPosition]] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.reads = 0

    async def get(self, ids: list[str]) -> dict[str, RunPosition]:
        """The positions of those runs that exist, as new as this call. Raises `DatabaseUnavailable`."""
        while self._next is not None and len(self._asked) >= MOST_RUNS:
            await asyncio.wait({self._next})
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        found = self._next
        self._asked.update(ids)
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(self._read())
        # one that leaves takes nothing from the others
        positions = await asyncio.shield(found)
        return {id: positions[id] for id in ids if id in positions}

    async def _read(self) -> None:
        while self._next is not None:
            # those that come in the same step of the loop are in this read
            await asyncio.sleep(0)
            ids, found = sorted(self._asked), self._next
            self._asked, self._next = set(), None
            self.reads += 1
            try:
                found.set_result(await self._store.read(partial(queries.run_positions, run_ids=ids)))
            except Exception as error:
                found.set_exception(error)
                # all that waited may have left
                found.exception()
        self._reading = None
