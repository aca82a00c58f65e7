"""Frames: what one flush, or one page of a replay, sends to all subscribers of a selection.

Events and frames are encoded at most once per format and shared by all that send them, so that
fan-out costs one `send` for each subscriber, whatever the number of entries in the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..protocol.events import Event, Gap, decode, encode_event


class WireEvent:
    """An event as it is sent, encoded at most once per format, for all frames that have it.

    `n` is the number of its last stored event, None for an event that moves no cursor; `data` is
    its JSON. `holders` counts the waiting frames that have it, for `backlog`.
    """

    __slots__ = ("__weakref__", "_encoded", "data", "holders", "n", "type")

    def __init__(self, n: int | None, type: str, data: bytes) -> None:
        self.n = n
        self.type = type
        self.data = data
        self.holders = 0
        self._encoded: dict[Format, bytes] = {}

    def encode(self, epoch: str, format: Format) -> bytes:
        """The event in one format; all its frames are of one epoch."""
        encoded = self._encoded.get(format)
        if encoded is None:
            encoded = self._encoded[format] = format(self.id(epoch), self)
        return encoded

    def id(self, epoch: str) -> str | None:
        """Its cursor; None if it moves none."""
        return None if self.n is None else f"{epoch}-{self.n}"


Format = Callable[[str | None, WireEvent], bytes]
"""Encodes one event, with its cursor, for the wire; `formats` has them."""

SMALL = 16 * 1024
"""Bytes below which events are joined, so that many of them cost one `send`."""


class Part(NamedTuple):
    """The events of one `Segment` that a selection wants. They end at number `last`.

    `type` is that of its last stored event.
    """

    events: list[WireEvent]
    last: int
    type: str


class Frame:
    """Some events in order. `last` is the number that a subscriber has reached after them.

    `final` is true if nothing follows: the run, or the instance, of the stream has ended.
    """

    __slots__ = ("_encoded", "epoch", "events", "final", "holders", "last", "size")

    def __init__(
        self, epoch: str, events: list[WireEvent], last: int | None = None, final: bool = False
    ) -> None:
        self.epoch = epoch
        self.events = events
        self.last = last
        self.final = final
        self.size = sum(len(event.data) for event in events)
        self.holders = 0
        self._encoded: dict[Format, list[bytes]] = {}

    def encode(self, format: Format) -> list[bytes]:
        """The frame in one format, in pieces; each format is encoded once, for all subscribers.

        A large event is a piece of its own, which all frames with that event share.
        """
        pieces = self._encoded.get(format)
        if pieces is None:
            encoded = [event.encode(self.epoch, format) for event in self.events]
            pieces = self._encoded[format] = _joined(encoded)
        return pieces

    def decode(self) -> Iterator[Event]:
        """Its events, typed, without keep-alives."""
        for event in self.events:
            if event.data:
                yield decode(event.data, event.id(self.epoch))


KEEPALIVE = Frame("", [WireEvent(None, "keep-alive", b"")])
"""Put into idle inboxes at intervals, so that proxies and clients see that the stream is alive."""


def frames_of(
    epoch: str, parts: Iterable[Part], hidden: frozenset[str], ends: frozenset[str], frame_bytes: int
) -> Iterator[Frame]:
    """Parts in the order of their numbers, as frames of about `frame_bytes` at most.

    Events of the types in `hidden` are not shown, but count as reached. An event of a type in
    `ends`, among which are those in `hidden`, makes its frame the final one.
    """
    events: list[WireEvent] = []
    size = 0
    last = 0
    for part in parts:
        if part.type in ends:
            shown = [] if part.type in hidden else part.events
            yield Frame(epoch, events + shown, part.last, final=True)
            return
        for event in part.events:
            assert event.n is not None
            last = event.n
            events.append(event)
            size += len(event.data)
            if size >= frame_bytes:
                yield Frame(epoch, events, last)
                events, size = [], 0
    if events:
        yield Frame(epoch, events, last)


def gap_frame(epoch: str, gap: Gap) -> Frame:
    """A frame with a `gap` alone, which moves no cursor."""
    return Frame(epoch, [WireEvent(None, "gap", encode_event(gap))])


def _joined(encoded: list[bytes]) -> list[bytes]:
    """The same bytes, with neighbours below `SMALL` joined."""
    if len(encoded) < 2:
        return encoded
    pieces: list[bytes] = []
    small: list[bytes] = []
    for piece in encoded:
        if len(piece) < SMALL:
            small.append(piece)
            continue
        if small:
            pieces.append(b"".join(small))
            small = []
        pieces.append(piece)
    if small:
        pieces.append(b"".join(small))
    return pieces
