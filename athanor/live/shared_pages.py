"""Shared pages: the events of one topic, read once for all subscriptions that replay it.

Subscriptions of other selections, and from other cursors, mostly want a page that was just read. So
finished pages are kept for a moment.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from functools import partial
from operator import attrgetter

from ..config import Limits
from ..protocol.events import ENTRY_TYPES, TYPES, StoredEvent
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from ..store import replay
from ..store.entry_text import EntryText
from ..store.store import Store
from .frames import Frame
from .segments import Memo, Segment, segments_of
from .text_segment import TextSegment

_LIFE_TYPES = frozenset(TYPES) - ENTRY_TYPES
_n_of = attrgetter("n")

MOST_FRAMES = 16
"""Selections that differ in their types, and share the frames of a page."""


class SharedPage:
    """All events of one topic, of the types that were read, with `after < n <= reach`.

    They are rows, then perhaps a text of entries.
    """

    __slots__ = ("_rows", "_text", "after", "count", "made", "reach", "size", "types")

    def __init__(
        self, rows: list[StoredEvent], after: int, reach: int, text: EntryText | None = None
    ) -> None:
        self._rows = rows
        self._text = text
        self.after = after
        self.reach = reach
        self.types = frozenset(row.type for row in rows)
        self.count = len(rows)
        self.size = sum(len(row.data) for row in rows)
        if text is not None:
            self.types |= text.types
            self.count += len(text.codes)
            self.size += len(text.data)
        self.made: dict[object, list[Frame]] = {}
        """Frames of the whole page, by what makes them differ."""

    @property
    def rows(self) -> list[StoredEvent]:
        return self._rows if self._text is None else self._rows + self._text.rows

    def segments(self, most_bytes: int, memo: Memo) -> Iterable[Segment | TextSegment]:
        """The page as segments, whose events have about `most_bytes`."""
        yield from segments_of(self._rows, most_bytes, memo)
        if self._text is not None:
            yield TextSegment(self._text, most_bytes, memo)

    def covers(self, after: int) -> bool:
        """Whether it has the first events after this number."""
        return self.after <= after < self.reach

    def between(self, after: int, upto: int) -> list[StoredEvent]:
        if after <= self.after and upto >= self.reach:
            return self.rows
        rows = self.rows
        begin, end = (bisect_right(rows, n, key=_n_of) for n in (after, upto))
        return rows[begin:end]


class SharedPages:
    """Reads pages, and keeps the newest ones for `page_seconds`, at most `pages_bytes` of events.

    A page that was read before rows were deleted has them; `clear` has to follow a deletion.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        self._reads: dict[Selection, dict[int, asyncio.Task[SharedPage]]] = {}
        # the oldest first
        self._kept: dict[SharedPage, Selection] = {}
        self._by_selection: dict[Selection, list[SharedPage]] = {}
        self._bytes = 0
        self._deletions = 0
        self.reads = 0

    async def get(self, topic: Topic, types: frozenset[str] | None, after: int, upto: int) -> SharedPage:
        """A page with the first events of the topic after `after`, and perhaps some before.

        It has at least the events of these types up to its `reach`, which may be beyond `upto`.
        Raises `DatabaseUnavailable`.
        """
        selection = Selection((topic,), types if topic.id is None else _read_types(types))
        page = self._find(selection, after)
        if page is None:
            reads = self._reads.get(selection, {})
            # one that begins shortly before may cover this number
            near = [begin for begin in reads if 0 <= after - begin < self._limits.page_rows]
            if near:
                page = await asyncio.shield(reads[max(near)])
        if page is None or not page.covers(after):
            page = await self._begin(selection, after, upto)
        return page

    def clear(self) -> None:
        """Keep no page, nor one that is being read now: rows were deleted."""
        self._deletions += 1
        for page in list(self._kept):
            self._drop(page)

    def _find(self, selection: Selection, after: int) -> SharedPage | None:
        for page in self._by_selection.get(selection, ()):
            if page.covers(after):
                return page
        return None

    async def _begin(self, selection: Selection, after: int, upto: int) -> SharedPage:
        reads = self._reads.setdefault(selection, {})
        read = reads.get(after)
        if read is None:
            read = asyncio.get_running_loop().create_task(self._read(selection, after, upto))
            reads[after] = read
            read.add_done_callback(partial(self._ended, selection, after))
        return await asyncio.shield(read)

    def _ended(self, selection: Selection, after: int, read: asyncio.Task[SharedPage]) -> None:
        del self._reads[selection][after]
        if not self._reads[selection]:
            del self._reads[selection]
        # every subscription that waited has the error; if all have left, nobody else takes it
        if not read.cancelled():
            read.exception()

    async def _read(self, selection: Selection, after: int, upto: int) -> SharedPage:
        deletions, text_rows = self._deletions, self._text_rows(selection, after)
        rows, text, reach = await self._store.read(
            lambda session: replay.shared_page(session, selection, after, upto, text_rows, self._limits)
        )
        self.reads += 1
        page = SharedPage(rows, after, reach, text)
        if deletions == self._deletions:
            self._keep(selection, page)
        return page

    def _text_rows(self, selection: Selection, after: int) -> int:
        """The entries that almost fill an event, if they are as long as those of the page before."""
        for page in self._by_selection.get(selection, ()):
            if page.reach == after and page.count:
                fitting = 7 * self._limits.frame_bytes * page.count // (8 * page.size)
                return max(1, min(self._limits.page_rows, fitting))
        return self._limits.text_rows

    def _keep(self, selection: Selection, page: SharedPage) -> None:
        self._kept[page] = selection
        self._by_selection.setdefault(selection, []).append(page)
        self._bytes += page.size
        while self._bytes > self._limits.pages_bytes or len(self._kept) > self._limits.most_pages:
            self._drop(next(iter(self._kept)))
        asyncio.get_running_loop().call_later(self._limits.page_seconds, self._drop, page)

    def _drop(self, page: SharedPage) -> None:
        selection = self._kept.pop(page, None)
        if selection is not None:
            self._bytes -= page.size
            self._by_selection[selection].remove(page)
            if not self._by_selection[selection]:
                del self._by_selection[selection]


def _read_types(types: frozenset[str] | None) -> frozenset[str] | None:
    """The types to read for these: few sets, so that selections of many sets share pages."""
    if types is None or not types & ENTRY_TYPES:
        return types
    return None if types >= ENTRY_TYPES else (types & ENTRY_TYPES) | _LIFE_TYPES
