"""Writes bodies at the pace of their clients, so that a client that does not read holds little.

A server takes a body of any size into the buffer of its connection. Here a body is sent in chunks,
and each chunk waits until the connection has taken the one before. While a client keeps us waiting,
what it holds counts in the `Backlog`, which may cut it off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator

from starlette.types import Message, Receive, Send

from ..engine.athanor import Athanor
from ..live.frames import Frame
from ..live.refusals import SILENCE
from .uvicorn_adapter import bounds_writes, leave, takes_chunks, transport_of


class PacedWriter:
    """The body of one response; belongs to the task that creates it. `on_cut` is for its owner.

    Behind another server than uvicorn, `send` itself has to wait for the client, and a client that
    is cut off is disconnected by that server.
    """

    __slots__ = (
        *("_backlog", "_behind", "_on_cut", "_receive", "_send", "_task", "_timeout"),
        *("_transport", "_turns", "is_cut"),
    )

    def __init__(
        self, engine: Athanor, receive: Receive, send: Send, on_cut: Callable[[], None] | None = None
    ) -> None:
        self._backlog = engine.parts.hub.backlog
        self._turns = engine.parts.turns
        # our own server looks at the client's progress within a chunk
        self._timeout = None if bounds_writes(receive) else engine.limits.write_timeout
        self._receive = receive
        self._send = send
        self._on_cut = on_cut
        self._task = asyncio.current_task()
        self._transport = transport_of(receive)
        if self._transport is not None and not self._transport.is_closing():
            # what the kernel does not take at once counts as waiting, and pauses the next `send`
            self._transport.set_write_buffer_limits(high=0)
        self.is_cut = False
        self._behind: tuple[Frame, ...] = ()

    @property
    def chunked_transport(self) -> asyncio.Transport | None:
        """The connection, if chunks of HTTP/1.1 may be written to it beside this; None if not."""
        return self._transport if takes_chunks(self._receive, self._send) else None

    def fall_behind(self, frame: Frame) -> None:
        """A part of `frame`, which was written beside this, waits; `settled` has to follow.

        So has `Backlog.enforce`.
        """
        assert self._transport is not None
        self._behind = (frame,)
        self._backlog.hold_for(self, self._behind, self._transport.get_write_buffer_size())

    async def settled(self) -> bool:
        """Wait until the client is not behind any more; False if it is gone."""
        if self._behind:
            assert self._transport is not None
            frames, self._behind = self._behind, ()
            self._backlog.unblock(self)
            await self._wait(_body(b""), frames, self._transport.get_write_buffer_size())
        return not self.is_cut and not self._has_left()

    async def write(self, chunk: bytes | memoryview, frames: Iterable[Frame] = (), own: int = 0) -> bool:
        """Send a chunk, and wait until the client has taken it; False if the client is gone.

        Meanwhile the client holds `frames` and `own` bytes more.
        """
        if not self._turns.take(len(chunk)):
            await self._turns.wait(len(chunk))
            if self.is_cut:
                return False
        transport = self._transport
        if transport is None:
            await self._wait(_body(chunk), frames, own + len(chunk))
            return not self.is_cut
        if self._has_left():
            return False
        await self._send(_body(chunk))
        if waiting := transport.get_write_buffer_size():
            # the server sends an empty chunk when the buffer is empty
            await self._wait(_body(b""), frames, own + waiting)
        return not self.is_cut and not self._has_left()

    async def end(self) -> None:
        """End the response, unless the client is gone."""
        if not self.is_cut and not self._has_left():
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def cut_off(self) -> None:
        """End the connection; `is_cut` is true, and `write` returns, or its task is cancelled."""
        self.is_cut = True
        if self._on_cut is not None:
            self._on_cut()
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def _has_left(self) -> bool:
        if self._transport is None or not self._transport.is_closing():
            return False
        leave(self._receive)
        return True

    async def _wait(self, message: Message, frames: Iterable[Frame], own: int) -> None:
        self._backlog.block(self, frames, own)
        try:
            if not self.is_cut:
                async with asyncio.timeout(self._timeout):
                    await self._send(message)
        except RuntimeError:
            # uvloop writes nothing, not even an empty chunk, to a connection that is closed by now
            if not self._has_left():
                raise
        except TimeoutError:
            self._backlog.cut_off(self, SILENCE)
        finally:
            self._backlog.unblock(self)


def chunks_of(pieces: Iterable[bytes], most: int) -> Iterator[bytes | memoryview]:
    """The same bytes in chunks of at most `most`: small pieces joined, large ones cut, not copied."""
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if small and size + len(piece) > most:
            yield b"".join(small)
            small, size = [], 0
        if len(piece) > most:
            view = memoryview(piece)
            yield from (view[at : at + most] for at in range(0, len(piece), most))
        elif piece:
            small.append(piece)
            size += len(piece)
    if small:
        yield b"".join(small)


def _body(body: bytes | memoryview) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}
