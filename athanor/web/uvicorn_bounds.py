"""What both of uvicorn's HTTP protocols share here: times, and how a connection is refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.flow_control import FlowControl

from ..live.refusals import BODY_TIMEOUT, HEADER_TIMEOUT, HEADERS, INVALID, WRITE_TIMEOUT
from .connection import Clock, Connections, discard_unsent, refusal, unsent_bytes


class Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, status: int, detail: str, reason: str = INVALID) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason


class Flow(FlowControl):
    """uvicorn's flow control; it has an event, which takes 0.9 KiB, only while writing is paused."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = False
        self.write_paused = False
        self._resumed: asyncio.Event | None = None

    async def drain(self) -> None:
        if self._resumed is not None:
            await self._resumed.wait()

    def pause_writing(self) -> None:
        if not self.write_paused:
            self.write_paused = True
            self._resumed = asyncio.Event()

    def resume_writing(self) -> None:
        if self._resumed is not None:
            self.write_paused = False
            self._resumed.set()
            self._resumed = None


class Bounded(asyncio.Protocol):
    """A mixin in front of one of uvicorn's protocols.

    A `cycle` is uvicorn's object for one request and its response.
    """

    # with more names, the dictionaries of uvicorn's objects would share no memory: 1.5 KiB each
    __slots__ = ("_bounds", "_clock", "_is_deaf")

    transport: asyncio.Transport
    flow: FlowControl
    loop: asyncio.AbstractEventLoop
    cycle: Any

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = connections
        self._clock = Clock(connections.limits)
        self._is_deaf = False
        """Whether what the client still sends is read and dropped."""

    if TYPE_CHECKING:

        def _unset_keepalive_if_required(self) -> None: ...

    # what the two protocols do in their own ways

    def _unanswered(self) -> list[Any]:
        """The cycles without a complete response, the oldest first."""
        raise NotImplementedError

    def _unread(self) -> Any | None:
        """The cycle whose body is not complete."""
        raise NotImplementedError

    def _forget(self, cycle: Any) -> None:
        """Take a cycle that has not begun out of the queue."""
        raise NotImplementedError

    def _is_silent(self) -> bool:
        """Whether nothing of a request has been received."""
        raise NotImplementedError

    # the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.flow = Flow(self.transport)  # type: ignore[misc]
        self._clock.head = self.loop.time()
        self._bounds.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        # uvicorn tells the newest request only
        for cycle in self._unanswered():
            cycle.disconnected = True
            cycle.message_event.set()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._bounds.forget(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._clock.reader_is_back()

    def _wait_for_reader(self) -> None:
        self._clock.wait_for_reader(self.loop.time(), unsent_bytes(self.transport))
        self._bounds.watch(self)

    # time

    def check(self, now: float) -> bool:
        """Refuse or cut off the connection if its client has had its time."""
        clock, cycle = self._clock, self._unread()
        if clock.lingered(now):
            self.transport.abort()
            return False
        if self.flow.read_paused or (cycle is not None and cycle.waiting_for_100_continue):
            clock.pause(now)
        clock.look_at_reader(now, lambda: unsent_bytes(self.transport))
        if not self.flow.write_paused and not self.transport.get_write_buffer_size():
            clock.reader_is_back()
        reason = clock.expired(now)
        if reason is not None:
            self._expire(reason)
        return clock.is_waiting

    def _expire(self, reason: str) -> None:
        limits = self._bounds.limits
        if reason == WRITE_TIMEOUT:
            self._bounds.refusals.count(reason)
            discard_unsent(self.transport)
            self.transport.abort()
            self._clock.reader_is_back()
        elif reason == BODY_TIMEOUT:
            detail = f"nothing more of the body came for {limits.body_timeout:g} s"
            self._refuse(Refused(408, detail, reason))
        elif self._is_silent():
            # nobody is told: browsers open connections that they may need
            self._bounds.refusals.count(reason)
            self._is_deaf = True
            self._clock.head = None
            self.transport.close()
        else:
            detail = f"the headers were not complete after {limits.header_timeout:g} s"
            self._refuse(Refused(408, detail, HEADER_TIMEOUT))

    # refusals

    def _too_large(self, what: str = "the request line and headers") -> Refused:
        limits = self._bounds.limits
        detail = f"{what} may have at most {limits.head_bytes} bytes and {limits.head_fields} fields"
        return Refused(431, detail, HEADERS)

    def _refuse(self, refused: Refused) -> None:
        """End the connection after the responses that are under way.

        What is refused gets a response if it is its turn, and if its response has not begun.
        """
        self._bounds.refusals.count(refused.reason)
        self._is_deaf = True
        self._unset_keepalive_if_required()
        self._clock.head = self._clock.body = None
        # so that the end of the connection is noticed
        self.flow.resume_reading()
        unanswered, unread = self._unanswered(), self._unread()
        if unread is not None and unanswered[:1] == [unread]:
            unread.disconnected = True
            unread.message_event.set()
            if unread.response_started:
                self._close()
            else:
                self._answer(refused)
            return
        if unread is not None and unread in unanswered:
            unanswered.remove(unread)
            self._forget(unread)
        if unanswered:
            unanswered[-1].keep_alive = False
        elif unread is not None:
            # it has its response
            self._close()
        else:
            self._answer(refused)

    def _answer(self, refused: Refused) -> None:
        self.transport.write(refusal(refused.status, refused.detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._linger()

    def _linger(self) -> None:
        self._clock.lingering = self.loop.time()
        self._bounds.watch(self)

    def _close(self) -> None:
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._wait_for_reader()
