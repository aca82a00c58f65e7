"""Subscribing over HTTP: typed events, in a `for` or an `async for`, that survive broken connections.

for event in athanor.subscribe("experiments:run:first"):
    match event:
        case RunLog(log=log): ...
        case RunCompleted(): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator
from typing import Any, NoReturn

import httpx
import msgspec

from ..exceptions import AthanorError, InvalidQuery, NotFound
from ..protocol.cursor import Cursor
from ..protocol.events import TYPES, Event, Gap, RunProgress, decode
from ..protocol.selection import Selection
from .settings import ClientSettings, without_login
from .sse import ServerSentEvent, SseDecoder

logger = logging.getLogger("athanor")

SILENCE = 45.0
"""Seconds without a byte after which a connection counts as dead: three keep-alives."""
RETRY, MOST_RETRY = 1.0, 15.0
"""Seconds between two tries: where the server has not said, and the most that doubling makes of it."""

_KNOWN = frozenset({*TYPES, "gap"})
_ERRORS: dict[int, type[AthanorError]] = {400: InvalidQuery, 404: NotFound}
_PASSING = frozenset({408, 425, 429})
"""Statuses that ask to try again, beside 5xx."""
_LASTING = (
    *(httpx.UnsupportedProtocol, httpx.LocalProtocolError),
    *(httpx.TooManyRedirects, httpx.DecodingError),
)
"""Errors that another try would not change."""
_OPTIONS: dict[str, Any] = {
    "timeout": httpx.Timeout(10, read=SILENCE),
    "follow_redirects": True,
    "headers": {"Accept-Encoding": "identity", "Cache-Control": "no-cache"},
}


def subscribe(
    *topics: str,
    url: str | None = None,
    after: str | None = None,
    tail: int = 0,
    types: Iterable[str] | None = None,
) -> Subscriber:
    """Events of some topics of the service at `url` (`ATHANOR_URL`, else http://127.0.0.1:8000).

    Behind the cursor `after` (`"0"`: from the beginning), or the newest `tail` first, then live;
    only of `types`, if given. One run's topic ends with the run, one instance's with its deletion.
    A service that is away is waited for; what it refuses comes as `NotFound`, `InvalidQuery` or
    another `AthanorError`.
    """
    return Subscriber(topics, url, after, tail, types)


class Subscriber:
    """Iterate over it, by one `for` or `async for` at a time; the next one goes on where it was left.

    `cursor` is behind the last persisted event that was given out (None before the first): what to
    give as `after` to go on in another process.
    """

    def __init__(
        self,
        topics: tuple[str, ...],
        url: str | None,
        after: str | None,
        tail: int,
        types: Iterable[str] | None,
    ) -> None:
        self._selection = Selection.make(topics, types)
        if self._selection.types == frozenset():
            raise InvalidQuery("name a type, or leave types out for all of them")
        base = ClientSettings.from_env(url=url).url
        self._url = f"{base}/events"
        self._now_url = f"{base}/instances?limit=1"
        self._tail = tail
        self.cursor: str | None = str(Cursor.parse(after)) if after else None
        self._now: str | None = None
        self._was_asked = False
        self._from_now = False
        self._ended = False
        self._failures = 0
        self._retry: int | None = None
        self._decoder = SseDecoder()

    def __iter__(self) -> Generator[Event]:
        with httpx.Client(**_OPTIONS) as client:
            while not self._ended:
                try:
                    if self._needs_now:
                        self._take_now(client.get(self._now_url))
                    with client.stream("GET", self._url, **self._request()) as response:
                        if response.status_code != 200:
                            response.read()
                        self._check(response)
                        for piece in response.iter_bytes():
                            yield from self._events(piece)
                            if self._ended:
                                return
                except (httpx.RequestError, _Away) as error:
                    self._note(error)
                time.sleep(self._pause())

    async def __aiter__(self) -> AsyncGenerator[Event]:
        async with httpx.AsyncClient(**_OPTIONS) as client:
            while not self._ended:
                try:
                    if self._needs_now:
                        self._take_now(await client.get(self._now_url))
                    async with client.stream("GET", self._url, **self._request()) as response:
                        if response.status_code != 200:
                            await response.aread()
                        self._check(response)
                        async for piece in response.aiter_bytes():
                            for event in self._events(piece):
                                yield event
                            if self._ended:
                                return
                except (httpx.RequestError, _Away) as error:
                    self._note(error)
                await asyncio.sleep(self._pause())

    @property
    def _needs_now(self) -> bool:
        """Without a cursor there is none until something happens: note where we came in."""
        return self.cursor is None and self._now is None

    def _take_now(self, response: httpx.Response) -> None:
        if response.status_code != 200:
            _refuse(response)
        try:
            self._now = str(response.json()["last_event_id"])
        except (ValueError, KeyError, TypeError):
            raise _not_ours(response) from None

    def _request(self) -> dict[str, Any]:
        """What to ask for this time."""
        self._from_now = self.cursor is None and self._was_asked
        cursor = self._now if self._from_now else self.cursor
        self._was_asked |= not self._tail  # else the newest lines are still to come
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
        """Whether this is a stream, or the end of all; raises what else it is."""
        if response.status_code == 204:
            # nothing behind where we came in: it had ended by then, and its end is still to be shown
            self._ended = not self._from_now
            self._was_asked = False
        elif response.status_code != 200:
            _refuse(response)
        elif _media_type(response) != "text/event-stream":
            raise _not_ours(response)
        else:
            self._was_asked = True

    def _events(self, piece: bytes) -> Iterator[Event]:
        """The events that this piece of the stream completes; the cursor goes along with them."""
        self._failures = 0
        events = self._decoder.feed(piece)
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
        self.cursor = self._decoder.last_event_id or self.cursor  # an id may come without an event

    def _typed(self, event: ServerSentEvent) -> Event | None:
        """None for one of a later version, and for one only asked for to know the end."""
        if event.type not in _KNOWN or event.type in self._selection.hidden:
            return None
        try:
            typed = decode(event.data.encode(), event.id or None)
        except msgspec.DecodeError as error:
            raise AthanorError(
                f"{without_login(self._url)} sent a {event.type} that can't be read: {error}"
            ) from error
        if isinstance(typed, RunProgress | Gap):
            typed.id = None  # an earlier event's
        return typed

    def _note(self, error: httpx.RequestError | _Away) -> None:
        """A try that failed; raises if the next one would too."""
        if isinstance(error, _LASTING):
            raise AthanorError(f"{without_login(self._url)} can't be read: {error}") from error
        self._failures += 1
        if self._failures == 2:  # the first may be a connection that broke
            logger.warning("%s is away (%s); waiting for it", without_login(self._url), error)

    def _pause(self) -> float:
        return 0 if self._ended else back_off(self._retry, self._failures)


class _Away(Exception):
    """The service has trouble that may pass."""


def back_off(retry: int | None, failures: int) -> float:
    """Seconds to wait after so many tries in a row that failed; `retry` is the server's wish, in ms.

    Never less than that, and up to half of it more, so that not all who were cut off come at once.
    """
    wish = RETRY if retry is None else retry / 1000
    grown = wish * 2.0 ** min(max(0, failures - 1), 10)
    return max(wish, min(grown, MOST_RETRY)) * random.uniform(1, 1.5)  # noqa: S311 - jitter


def _refuse(response: httpx.Response) -> NoReturn:
    """Raise what an answer that is no 200 means."""
    status = response.status_code
    text = f"{_place(response)} answered {status}"
    if status >= 500 or status in _PASSING:
        raise _Away(text)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        text = f"{text}: {response.json()['detail']}"
    raise _ERRORS.get(status, AthanorError)(text)


def _not_ours(response: httpx.Response) -> AthanorError:
    kind = _media_type(response) or "something of no type"
    return AthanorError(f"{_place(response)} answered 200 with {kind}: is an Athanor there?")


def _place(response: httpx.Response) -> str:
    return str(response.url.copy_with(query=None, userinfo=b""))


def _media_type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()
