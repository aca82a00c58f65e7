"""Text segments: the entries of one run in a page of a replay, grouped without looking at each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress

from ..store.entry_text import TYPES, EntryText
from .frames import Part, WireEvent
from .segments import Memo, entries_event

_ALIKE = re.compile("l+|r+")
"""Codes of neighbours of one type."""


class TextSegment:
    """The entries of a text. Its parts are those that a `Segment` of the same entries has.

    Only the limits between two events may differ.
    """

    __slots__ = ("_memo", "_most_bytes", "_text")

    def __init__(self, text: EntryText, most_bytes: int, memo: Memo) -> None:
        self._text = text
        self._most_bytes = most_bytes
        self._memo = memo

    def part(self, types: frozenset[str] | None) -> Part | None:
        """As `Segment.part`, made anew each time."""
        text = self._text
        wanted = text.types if types is None else text.types & types
        if not wanted:
            return None
        events = list(self._of_all() if wanted == text.types else self._of_one(*wanted))
        last = events[-1]
        assert last.n is not None
        return Part(events, last.n, _stored_type(last))

    def _of_all(self) -> Iterator[WireEvent]:
        text = self._text
        if len(text.types) == 1:
            yield from self._cut(text.data, text.numbers, *text.types)
            return
        for alike in _ALIKE.finditer(text.codes):
            begin, end = alike.span()
            data = b"\n".join(text.lines[begin:end])
            yield from self._cut(data, text.numbers[begin:end], TYPES[alike[0][0]])

    def _of_one(self, type_: str) -> Iterator[WireEvent]:
        text = self._text
        picked = [TYPES[code] == type_ for code in text.codes]
        data = b"\n".join(compress(text.lines, picked))
        yield from self._cut(data, list(compress(text.numbers, picked)), type_)

    def _cut(self, data: bytes, numbers: Sequence[int], type_: str) -> Iterator[WireEvent]:
        """Events of the entries in `data`, which are of one type, with about `most_bytes` each."""
        begin = done = 0
        while begin < len(data):
            end = data.find(b"\n", begin + self._most_bytes)
            entries = data[begin:] if end < 0 else data[begin:end]
            count = entries.count(b"\n") + 1
            key = (numbers[done], numbers[done + count - 1], count, type_)
            event = self._memo.get(key)
            if event is None:
                entries = entries.replace(b"\n", b",")
                event = entries_event(type_, self._text.run_id, entries, count, key[1])
                self._memo[key] = event
            yield event
            done += count
            begin = len(data) if end < 0 else end + 1


def _stored_type(event: WireEvent) -> str:
    return event.type.removesuffix("s")
