"""Segments: the entries of one run that stand together in a flush, grouped once for all selections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from itertools import groupby
from operator import attrgetter

from ..protocol.events import ENTRY_TYPES, PLURAL, StoredEvent
from .frames import Part, WireEvent

_type_of = attrgetter("type")
_run_of = attrgetter("run_id")
_instance_of = attrgetter("instance_id")

Memo = MutableMapping[tuple[int, int, int, str], WireEvent]
"""Events that were made before, by their first and last number, count and type.

The rows between two numbers never change, except that rows are deleted; then the count changes.
"""


class Segment:
    """Neighbouring entries of one run, or one event of a life.

    Selections differ in the types that they want. Logs and results may alternate, so there are up
    to three parts of it: with logs, with results, with both. Each is made when it is first wanted.
    """

    __slots__ = ("_memo", "_most_bytes", "_parts", "rows", "types")

    def __init__(self, rows: list[StoredEvent], most_bytes: int, memo: Memo | None) -> None:
        self.rows = rows
        self.types = frozenset(map(_type_of, rows))
        self._most_bytes = most_bytes
        self._memo = memo
        self._parts: dict[frozenset[str], Part] = {}

    def part(self, types: frozenset[str] | None) -> Part | None:
        """The same object for all selections that want the same of it; None if it has nothing.

        `types` are a selection's stored types.
        """
        wanted = self.types if types is None else self.types & types
        if not wanted:
            return None
        part = self._parts.get(wanted)
        if part is None:
            rows = self.rows
            if len(wanted) < len(self.types):
                rows = [row for row in rows if row.type in wanted]
            events = [self._event(group) for group in _groups(rows, self._most_bytes)]
            part = self._parts[wanted] = Part(events, rows[-1].n, rows[-1].type)
        return part

    def _event(self, group: list[StoredEvent]) -> WireEvent:
        if self._memo is None:
            return _wire_event(group)
        key = (group[0].n, group[-1].n, len(group), group[0].type)
        event = self._memo.get(key)
        if event is None:
            event = self._memo[key] = _wire_event(group)
        return event


def segments_of(
    stored: Iterable[StoredEvent], most_bytes: int, memo: Memo | None = None
) -> Iterator[Segment]:
    """Stored events in the order of their numbers, as segments.

    `most_bytes` is about the most that is sent as one event.
    """
    # an entry has no instance, and an event of a life has one. One attribute after the other: for both
    # at once, `groupby` would make a tuple of each event
    for _, neighbours in groupby(stored, _run_of):
        for instance_id, rows in groupby(neighbours, _instance_of):
            if instance_id is None:
                yield Segment(list(rows), most_bytes, memo)
            else:
                yield from (Segment([row], most_bytes, memo) for row in rows)


def _groups(rows: list[StoredEvent], most_bytes: int) -> Iterator[list[StoredEvent]]:
    """Rows of a segment that are sent as one event: neighbours of one type, about `most_bytes`."""
    group: list[StoredEvent] = []
    size = 0
    for row in rows:
        if group and (row.type != group[0].type or size >= most_bytes):
            yield group
            group, size = [], 0
        group.append(row)
        size += len(row.data)
    if group:
        yield group


def _wire_event(group: list[StoredEvent]) -> WireEvent:
    first, last = group[0], group[-1]
    if first.type not in ENTRY_TYPES:
        return WireEvent(first.n, first.type, first.data)
    entries = b",".join([event.data for event in group])
    return entries_event(first.type, first.run_id or "", entries, len(group), last.n)


def entries_event(type_: str, run_id: str, entries: bytes, count: int, n: int) -> WireEvent:
    """The event of `count` entries of a run, of which the last has the number `n`.

    `entries` has their JSON, with commas between them.
    """
    noun = type_.removeprefix("run_").encode()
    if count == 1:
        form, name = b'{"type":"%b","run_id":"%b","%b":%b}', type_
    else:
        form, name = b'{"type":"%b","run_id":"%b","%bs":[%b]}', PLURAL[type_]
    return WireEvent(n, name, form % (name.encode(), run_id.encode(), noun, entries))
