"""Frames: what one flush, or one page of a replay, sends to everybody who asked for the same.

A frame is encoded at most once per form and shared by all its subscribers, so that fan-out costs
one `send` each, whatever the number of lines in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..protocol.events import ENTRY_TYPES, PLURAL, Event, Gap, StoredEvent, decode, encode_event

FRAME_BYTES = 256 * 1024
"""A frame ends behind the event that fills it: 256 KiB is written in under a millisecond."""


class WireEvent(NamedTuple):
    """An event as it goes out: `n` is its last row's number, None for what moves no cursor."""

    n: int | None
    type: str
    data: bytes


Format = Callable[[str | None, WireEvent], bytes]
"""How one event, with its cursor, goes over the wire; see `forms`."""


class Frame:
    """Some events in order. `last` is the number a reader has reached behind them.

    `final` says that nothing follows: the run, or the instance, of the stream has ended.
    """

    __slots__ = ("_encoded", "epoch", "events", "final", "last", "size")

    def __init__(
        self, epoch: str, events: list[WireEvent], last: int | None = None, final: bool = False
    ) -> None:
        self.epoch = epoch
        self.events = events
        self.last = last
        self.final = final
        self.size = sum(len(event.data) for event in events)
        self._encoded: dict[Format, bytes] = {}

    def encode(self, form: Format) -> bytes:
        """The frame in one of its forms; the work is done once for all who want the same."""
        encoded = self._encoded.get(form)
        if encoded is None:
            encoded = b"".join([form(self.id_of(event), event) for event in self.events])
            self._encoded[form] = encoded
        return encoded

    def id_of(self, event: WireEvent) -> str | None:
        """The cursor behind an event; None if it moves none."""
        return None if event.n is None else f"{self.epoch}-{event.n}"

    def decode(self) -> Iterator[Event]:
        """Its events, typed; a keep-alive is none."""
        for event in self.events:
            if event.data:
                yield decode(event.data, self.id_of(event))


KEEPALIVE = Frame("", [WireEvent(None, "keep-alive", b"")])
"""Put into idle inboxes now and then, so that proxies and clients know the stream is alive."""


def frames(
    epoch: str, rows: Iterable[StoredEvent], hidden: frozenset[str], ends: frozenset[str]
) -> Iterator[Frame]:
    """Rows in the order of their numbers, as frames of at most about `FRAME_BYTES`.

    Rows of the types in `hidden` are not shown, but count as reached; one of `ends` makes its
    frame the final one.
    """
    events: list[WireEvent] = []
    size = 0
    last = 0
    for group in _groups(rows):
        last = group[-1].n
        final = group[0].type in ends
        if group[0].type not in hidden:
            events.append(_wire_event(group))
            size += len(events[-1].data)
        if final or size >= FRAME_BYTES:
            yield Frame(epoch, events, last, final)
            if final:
                return
            events, size = [], 0
    if events:
        yield Frame(epoch, events, last)


def gap_frame(epoch: str, gap: Gap) -> Frame:
    return Frame(epoch, [WireEvent(None, "gap", encode_event(gap))])


def _groups(rows: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """Neighbouring lines of one run and type together, up to about `FRAME_BYTES`; the rest alone."""
    group: list[StoredEvent] = []
    size = 0
    for row in rows:
        joins = (
            group
            and row.type in ENTRY_TYPES
            and row.type == group[0].type
            and row.run_id == group[0].run_id
            and size < FRAME_BYTES
        )
        if not joins:
            if group:
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
    noun = first.type.removeprefix("run_")
    run_id = (first.run_id or "").encode()
    if len(group) == 1:
        data = b'{"type":"%b","run_id":"%b","%b":%b}' % (
            first.type.encode(),
            run_id,
            noun.encode(),
            first.data,
        )
        return WireEvent(first.n, first.type, data)
    many = PLURAL[first.type]
    data = b'{"type":"%b","run_id":"%b","%bs":[%b]}' % (
        many.encode(),
        run_id,
        noun.encode(),
        b",".join([row.data for row in group]),
    )
    return WireEvent(last.n, many, data)
