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
        events = list(self._whole() if wanted == text.types else self._of_one(*wanted))
        last = events[-1]
        assert last.n is not None
        return Part(events, last.n, _stored_type(last))

    def _whole(self) -> Iterator[WireEvent]:
        text = self._text
        if len(text.types) == 1 and len(text.data) <= self._most_bytes:
            (type_,) = text.types
            yield self._event(type_, text.numbers, text.data)
            return
        for alike in _ALIKE.finditer(text.codes):
            begin, end = alike.span()
            yield from self._cut(TYPES[alike[0][0]], text.numbers[begin:end], text.lines[begin:end])

    def _of_one(self, type_: str) -> Iterator[WireEvent]:
        text = self._text
        picked = [TYPES[code] == type_ for code in text.codes]
        numbers, lines = compress(text.numbers, picked), compress(text.lines, picked)
        return self._cut(type_, list(numbers), list(lines))

    def _cut(self, type_: str, numbers: Sequence[int], lines: list[bytes]) -> Iterator[WireEvent]:
        """Events of these entries, which are of one type, with about `most_bytes` each."""
        begin = size = 0
        for end, line in enumerate(lines, 1):
            size += len(line)
            if size >= self._most_bytes or end == len(lines):
                yield self._event(type_, numbers[begin:end], b",".join(lines[begin:end]))
                begin, size = end, 0

    def _event(self, type_: str, numbers: Sequence[int], entries: bytes) -> WireEvent:
        key = (numbers[0], numbers[-1], len(numbers), type_)
        event = self._memo.get(key)
        if event is None:
            event = entries_event(type_, self._text.run_id, entries, len(numbers), numbers[-1])
            self._memo[key] = event
        return event


def _stored_type(event: WireEvent) -> str:
    return event.type.removesuffix("s")
