"""A search: it reads a run's lines in slices, in the order in which they are wanted, for a bounded time.

A slice is one statement over some consecutive lines, as many as should take `SLICE` seconds. The
database leaves out most lines that do not match, and Python decides on the others.
"""

from __future__ import annotations

import asyncio
import time

from ..config import Limits
from ..domain.commands import found_run
from ..protocol.pages import EntryFilter, EntryPage
from ..protocol.sought import ANY_ESCAPE, ESC, ESCAPE, Sought
from .entries import END, Span, edges, read
from .queries import find_run
from .session import Params, Session

FIRST_LINES, MOST_LINES = 256, 1_000_000
"""Lines of the first slice, of which each may have 1 MiB, and of the longest one."""
MOST_CANDIDATES, CANDIDATE_BYTES = 2000, 1024 * 1024
"""What Python decides on after one slice: about 10 ms, in which nothing else runs."""
SLICE = 0.04
SLOW_SLICE = 0.25
"""Seconds after which a slice is ended and tried again with fewer lines: they are much longer."""


class Search:
    """One page of a search. It ends early after `stop`, with what it has."""

    def __init__(self, run_id: str, wanted: EntryFilter, limit: int, limits: Limits) -> None:
        self._run_id = run_id
        self._wanted = wanted
        self._limit = limit
        self._limits = limits
        self._sought = Sought(wanted.text, wanted.stream)
        self._lines = FIRST_LINES
        self._found: list[tuple[int, bytes]] = []
        self._size = 0
        self._stopped = False
        self.read_at = 0
        """The number of the newest event when the search began."""

    def stop(self) -> None:
        """Nobody waits for the outcome any more."""
        self._stopped = True

    async def __call__(self, session: Session) -> EntryPage:
        """The page, without its cursor. Raises `NotFound` for the run."""
        began = time.monotonic()
        whole = left = await self._span(session)
        while left.first <= left.last and not self._stopped and not self._is_full:
            left = await self._slice(session, left)
            # a page that has read nothing would be asked for again
            if left != whole and time.monotonic() - began >= self._limits.search_time:
                break
        return self._page(whole, left)

    async def _span(self, session: Session) -> Span:
        """The lines between `after` and `before`. No later state is read: lines never change."""
        wanted = self._wanted
        async with session.reading() as self.read_at:
            record = await find_run(session, self._run_id)
            found_run(record.run if record else None, self._run_id)
            oldest, newest = await edges(session, self._run_id, wanted)
        first = max(oldest, (wanted.after or 0) + 1)
        last = min(newest, (END if wanted.before is None else wanted.before) - 1)
        return Span(first, last, MOST_CANDIDATES, CANDIDATE_BYTES)

    @property
    def _is_full(self) -> bool:
        return len(self._found) >= self._limit or self._size >= self._limits.list_bytes

    async def _slice(self, session: Session, left: Span) -> Span:
        """Read the next lines; returns the span of those that are left."""
        began = time.monotonic()
        span = self._next(left)
        lines = span.last - span.first + 1
        rows = await self._rows(session, span)
        if rows is None:
            self._lines = max(1, lines // 16)
            return left
        if len(rows) == MOST_CANDIDATES or sum(len(data) for _, data in rows) >= CANDIDATE_BYTES:
            # it ended with the last candidate, not with the slice
            edge = rows[-1][0]
            span = span._replace(first=edge) if self._wanted.is_backwards else span._replace(last=edge)
        span = self._take(rows, span)
        seconds = max(time.monotonic() - began, 0.001)
        lines = span.last - span.first + 1
        self._lines = int(min(max(1, lines * min(4.0, SLICE / seconds)), MOST_LINES))
        if self._wanted.is_backwards:
            return left._replace(last=span.first - 1)
        return left._replace(first=span.last + 1)

    def _next(self, left: Span) -> Span:
        if self._wanted.is_backwards:
            return left._replace(first=max(left.first, left.last - self._lines + 1))
        return left._replace(last=min(left.last, left.first + self._lines - 1))

    def _take(self, rows: list[tuple[int, bytes]], span: Span) -> Span:
        """Keep the matches among the rows until the page is full; returns what was read of the span."""
        for seq, data in rows:
            if not self._sought.matches(data):
                continue
            self._found.append((seq, data))
            self._size += len(data)
            if self._is_full:
                backwards = self._wanted.is_backwards
                return span._replace(first=seq) if backwards else span._replace(last=seq)
        return span

    async def _rows(self, session: Session, span: Span) -> list[tuple[int, bytes]] | None:
        """The lines that may match; None if reading took too long."""
        condition, params = self._condition(session)
        reading = asyncio.ensure_future(
            read(session, self._run_id, self._wanted, span, condition, params)
        )
        # one line is read to its end, so that the search goes on
        patience = SLOW_SLICE if span.first < span.last else None
        await asyncio.wait({reading}, timeout=patience)
        if not reading.done():
            await session.interrupt(reading)
            # it may have come to its end all the same
            if reading.cancelled() or reading.exception() is not None:
                return None
        return reading.result()

    def _condition(self, session: Session) -> tuple[str, Params]:
        like, sql = session.like_sql, ""
        params: list[str] = []
        for condition in self._sought.conditions:
            patterns = " OR ".join([like] * len(condition.patterns))
            # another escape than ESC: JSON of a client may have it in the place of any character
            other = f"replace(data, ?, '') LIKE ? ESCAPE '{ESCAPE}'"
            escapes = " OR ".join([other, *[like] * len(condition.interrupted)])
            sql += f" AND ({patterns} OR ({like} AND ({escapes})))"
            params += [*condition.patterns, ANY_ESCAPE, ESC, ANY_ESCAPE, *condition.interrupted]
        return sql, tuple(params)

    def _page(self, whole: Span, left: Span) -> EntryPage:
        more = left.first <= left.last
        items = [data for _, data in self._found]
        if self._wanted.is_backwards:
            items.reverse()
        total = None if more else len(items)
        # the edges of what was read
        first, last = whole.first, left.first - 1
        if self._wanted.is_backwards:
            first, last = left.last + 1, whole.last
        return EntryPage(first, last, items, total, more)
