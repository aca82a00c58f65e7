"""Subscribing over HTTP: typed events, by `for` or `async for`, across broken connections.

    for event in athanor.subscribe("experiments:run:first"):
        match event:
            case RunLog(log=log): ...
            case RunCompleted(): ...

The types of events are in `athanor.events`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from typing import Any

import httpx
import msgspec

from ..exceptions import AthanorError, InvalidQuery, NotFound
from ..protocol.cursor import Cursor
from ..protocol.events import TYPES, Event, Gap, RunProgress, decode
from ..protocol.safe_text import one_line
from ..protocol.selection import Selection
from . import responses
from .http import Connection, connection_to
from .settings import ClientSettings, without_login
from .sse import EventTooLarge, ServerSentEvent, SseDecoder

logger = logging.getLogger("athanor")

SILENCE = 45.0
"""Seconds without a byte after which a connection is given up: three keep-alives."""
RETRY, MAX_RETRY = 1.0, 15.0
"""Seconds between two attempts: if the server gives none, and at most by doubling."""

_KNOWN = frozenset({*TYPES, "gap"})
_ERRORS: dict[int | None, type[AthanorError]] = {400: InvalidQuery, 404: NotFound}
_FAILURES = (*responses.REQUEST_ERRORS, responses.RequestFailed)
_OPTIONS: dict[str, Any] = {
    "timeout": httpx.Timeout(10, read=SILENCE),
    "follow_redirects": True,
    "headers": {"Cache-Control": "no-cache"},
}

BackOff = Callable[[int | None, int], float]


def subscribe(
    *topics: str,
    url: str | None = None,
    after: str | None = None,
    tail: int = 0,
    types: Iterable[str] | None = None,
) -> Subscriber:
    """Events of some topics of the service at `url` (`ATHANOR_URL`, else http://127.0.0.1:8000).

    They begin after the cursor `after` (`"0"`: with the first one), or with the newest `tail`, and
    go on live. `types`: only events of these types. The topic of one run ends with the run, the
    topic of one instance with its deletion.

    Raises `NotFound` or `InvalidQuery` for a topic, a cursor or a type that can't be, and
    `ConfigurationError` for an address. While the service is unavailable, the iteration waits. It
    raises `NotFound`, `InvalidQuery` or another `AthanorError` if the service refuses.
    """
    return Subscriber(topics, url, after, tail, types)


def back_off(retry: int | None, failures: int) -> float:
    """Seconds to wait after so many failures in a row; `retry` is the server's, in milliseconds.

    Never less than `retry`, and up to half as much again, so that clients which were cut off
    together do not return together.
    """
    first = RETRY if retry is None else retry / 1000
    grown = first * 2.0 ** min(max(0, failures - 1), 10)
    return max(first, min(grown, MAX_RETRY)) * random.uniform(1, 1.5)  # noqa: S311 - jitter


class _Now(msgspec.Struct):
    last_event_id: str


class Subscriber:
    """Iterate by one `for` or `async for` at a time; the next one goes on where the last one ended.

    `cursor` is the position after the last stored event that was returned (None before the first):
    give it as `after` to go on in another process.
    """

    def __init__(
        self,
        topics: tuple[str, ...],
        url: str | None,
        after: str | None,
        tail: int,
        types: Iterable[str] | None,
        back_off: BackOff = back_off,
    ) -> None:
        self._selection = Selection.make(topics, types)
        if self._selection.types == frozenset():
            raise InvalidQuery("name a type, or leave types out for all of them")
        base = ClientSettings.from_env(url=url).url
        self._url = f"{base}/events"
        self._now_url = f"{base}/instances?limit=1"
        self._tail = tail
        self._back_off = back_off
        self.cursor: str | None = str(Cursor.parse(after)) if after else None
        self._now: str | None = None
        self._has_connected = False
        self._from_now = False
        self._ended = False
        self._failures = 0
        self._retry: int | None = None
        self._decoder = SseDecoder()

    def __iter__(self) -> Generator[Event]:
        with self._connection().client(**_OPTIONS) as client:
            while not self._ended:
                try:
                    if self._needs_now:
                        self._take_now(client.get(self._now_url))
                    with client.stream("GET", self._url, **self._request()) as response:
                        if not response.is_success:
                            response.read()
                        self._check(response)
                        for piece in response.iter_bytes():
                            yield from self._events(piece)
                            if self._ended:
                                return
                except _FAILURES as error:
                    self._on_failure(error)
                time.sleep(self._pause())

    async def __aiter__(self) -> AsyncGenerator[Event]:
        async with self._connection().async_client(**_OPTIONS) as client:
            while not self._ended:
                try:
                    if self._needs_now:
                        self._take_now(await client.get(self._now_url))
                    async with client.stream("GET", self._url, **self._request()) as response:
                        if not response.is_success:
                            await response.aread()
                        self._check(response)
                        async for piece in response.aiter_bytes():
                            for event in self._events(piece):
                                yield event
                            if self._ended:
                                return
                except _FAILURES as error:
                    self._on_failure(error)
                await asyncio.sleep(self._pause())

    def _connection(self) -> Connection:
        connection = connection_to(self._url)
        for problem in connection.problems:
            logger.warning("%s", problem)
        return connection

    @property
    def _needs_now(self) -> bool:
        """Until the first event there is no cursor: ask the service for the present one."""
        return self.cursor is None and self._now is None

    def _take_now(self, response: httpx.Response) -> None:
        self._now = responses.decode(responses.check(response), _Now).last_event_id

    def _request(self) -> dict[str, Any]:
        """The arguments of the next request."""
        self._from_now = self.cursor is None and self._has_connected
        cursor = self._now if self._from_now else self.cursor
        # with `tail`, the newest events are still to come
        self._has_connected |= not self._tail
        selection = self._selection
        params: dict[str, Any] = {"topic": [str(topic) for topic in selection.topics]}
        if selection.stored_types is not None:
            params["types"] = ",".join(sorted(selection.stored_types))
        headers = {"Accept": "text/event-stream"}
        if cursor is not None:
            headers["Last-Event-ID"] = cursor
        elif self._tail:
            params["tail"] = self._tail
        self._decoder = SseDecoder()
        return {"params": params, "headers": headers}

    def _check(self, response: httpx.Response) -> None:
        """Note if this is a stream, or the end. Raises `RequestFailed` if it is neither."""
        responses.check(response)
        if response.status_code == 204:
            # it had ended before `_now`, and its final event is still to come
            self._ended = not self._from_now
            self._has_connected = False
        elif response.status_code != 200 or responses.media_type(response) != "text/event-stream":
            raise responses.NotAthanor(response)
        elif "retry-after" in response.headers:
            raise responses.Busy(response)
        else:
            self._has_connected = True

    def _events(self, piece: bytes) -> Iterator[Event]:
        """The events that this piece of the stream completes. Each moves the cursor."""
        self._failures = 0
        try:
            events = self._decoder.feed(piece)
        except EventTooLarge as error:
            raise AthanorError(f"{without_login(self._url)} can't be read: {error}") from None
        if self._decoder.retry is not None:
            self._retry = self._decoder.retry
        for event in events:
            typed = self._typed(event)
            self.cursor = event.id or self.cursor
            self._ended = event.type in self._selection.ends
            if typed is not None:
                yield typed
            if self._ended:
                return
        # an id may come without an event
        self.cursor = self._decoder.last_event_id or self.cursor

    def _typed(self, event: ServerSentEvent) -> Event | None:
        """None for a later version's type, and for one that is requested only to know the end."""
        if event.type not in _KNOWN or event.type in self._selection.hidden:
            return None
        try:
            typed = decode(event.data.encode(), event.id or None)
        except msgspec.DecodeError as error:
            reason = one_line(str(error))
            raise AthanorError(
                f"{without_login(self._url)} sent a {event.type} that can't be read: {reason}"
            ) from error
        if isinstance(typed, RunProgress | Gap):
            # the id is an earlier event's
            typed.id = None
        return typed

    def _on_failure(self, error: Exception) -> None:
        """Count a failed attempt. Raises if the next one would fail too."""
        if isinstance(error, responses.REQUEST_ERRORS):
            error = responses.Unreachable(self._url, error)
            if error.is_permanent:
                raise AthanorError(f"{without_login(self._url)} can't be read: {error.reason}")
        if isinstance(error, responses.Unavailable):
            self._failures += 1
            if isinstance(error, responses.Busy) and error.retry_after is not None:
                # as the stream itself says
                self._retry = int(1000 * error.retry_after)
            # a single failure may be a connection that broke
            if self._failures == 2:
                url = without_login(self._url)
                logger.warning("%s is away (%s); waiting for it", url, error.reason)
        elif isinstance(error, responses.RequestFailed):
            raise _ERRORS.get(error.status, AthanorError)(str(error))

    def _pause(self) -> float:
        return 0 if self._ended else self._back_off(self._retry, self._failures)
