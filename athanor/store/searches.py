"""Searches: they may read a whole run, so they have a connection and a queue of their own."""

from __future__ import annotations

from ..exceptions import TooManySearches
from ..protocol.pages import EntryPage
from .connections import ConnectionPool
from .search import Search
from .session import Connect


class Searches:
    """One search at a time, each for a bounded time; `waiting` others may wait for it."""

    def __init__(self, connect: Connect, waiting: int) -> None:
        self._pool = ConnectionPool(connect, 1)
        self._most = waiting + 1
        self._searches: set[Search] = set()

    async def start(self) -> None:
        """Open the connection. Raises the error of the database."""
        await self._pool.start()

    async def stop(self) -> None:
        """End the searches, and close the connection."""
        for search in self._searches:
            search.stop()
        await self._pool.stop()

    async def run(self, search: Search) -> EntryPage:
        """Run a search; it ends when its caller is cancelled.

        Raises `TooManySearches`, and what the search raises.
        """
        if len(self._searches) >= self._most:
            raise TooManySearches(
                f"{self._most} searches are under way or wait already; try again in some seconds"
            )
        self._searches.add(search)
        try:
            return await self._pool.run(search)
        finally:
            search.stop()
            self._searches.discard(search)
