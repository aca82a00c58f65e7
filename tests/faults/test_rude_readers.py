"""Hundreds of readers that stall, close one half or vanish, beside normal ones: all miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from pathlib import Path
from random import Random

import pytest

from ..support.cluster import Cluster
from ..support.follower import wait_until
from ..support.load import under_load
from ..support.service import Service, metric, running
from .process import descriptors, memory
from .schedule import rounds

pytestmark = pytest.mark.anyio

MOST_GROWTH = 192 << 20
"""Bytes: 48 MiB that wait for clients, what the kernel does not count, and SQLite's caches."""


EVENT = re.compile(rb"^id: (\w+-(\d+))\nevent: run_([a-z_]+?)s?$", re.MULTILINE)
SEQ = re.compile(rb'"seq":(\d+),')


class RudeReader:
    """A reader over a bare socket; what it has read, it records, and it continues with its cursor."""

    def __init__(self, service: Service, run: str, chance: Random) -> None:
        self.seqs: dict[str, list[int]] = {"log": [], "result": []}
        self.numbers: list[int] = []
        self.ended = False
        self.connections = 0
        self._path = f"/events/experiments:run:{run}"
        self._service = service
        self._chance = chance
        self._socket: socket.socket | None = None
        self._head: bytes | None = b""
        self._rest = b""
        self._last_id = "0"

    async def behave(self, done: asyncio.Event) -> None:
        """One kind of bad manners until `done`, with as many connections as that takes."""
        kinds = [self._stall, self._half_close, self._vanish, self._trickle, self._half_ask]
        kind = self._chance.choice(kinds)
        with contextlib.suppress(asyncio.CancelledError):
            while not done.is_set():
                await kind(done)
        self.leave()

    async def finish(self) -> None:
        """Read what is left, to the 204."""
        while not self.ended:
            await self._ask()
            while await self._read(1 << 16):
                pass

    async def _stall(self, done: asyncio.Event) -> None:
        await self._ask(small=True)
        await done.wait()
        while await self._read(1 << 16):
            pass

    async def _half_close(self, done: asyncio.Event) -> None:
        await self._ask()
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        while not done.is_set() and await self._read(1 << 14):
            pass
        await asyncio.sleep(0.2)

    async def _vanish(self, done: asyncio.Event) -> None:
        await self._ask()
        for _ in range(self._chance.randint(0, 5)):
            await self._read(self._chance.randint(1, 1 << 16))
        self.leave(reset=self._chance.random() < 0.5)
        await asyncio.sleep(self._chance.uniform(0, 1))

    async def _trickle(self, done: asyncio.Event) -> None:
        await self._ask(small=True)
        while await self._read(self._chance.randint(1, 2000)) and not done.is_set():  # noqa: ASYNC110
            # a few kilobytes a second
            await asyncio.sleep(self._chance.uniform(0.02, 0.2))

    async def _half_ask(self, done: asyncio.Event) -> None:
        await self._ask(part=self._chance.random())
        await asyncio.sleep(self._chance.uniform(0, 1))
        self.leave()

    async def _ask(self, small: bool = False, part: float = 1.0) -> None:
        """Begin a connection, by the first `part` of a request."""
        self.leave()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if small:
            # of short segments, the service's kernel buffers less too: some 50 KB, not 2.5 MB
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # without chunks: HTTP/1.0
        request = (
            f"GET {self._path} HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {self._last_id}\r\n\r\n"
        )
        self._head, self._rest = b"", b""
        self.connections += 1
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            await loop.sock_connect(self._socket, (self._service.host, self._service.port))
            await loop.sock_sendall(self._socket, request.encode()[: int(len(request) * part)])

    async def _read(self, size: int) -> bool:
        """Read once, at most `size` bytes; False at the end of the connection."""
        assert self._socket is not None
        try:
            piece = await asyncio.get_running_loop().sock_recv(self._socket, size)
        except OSError:
            piece = b""
        if self._head is not None and piece:
            self._head += piece
            if b"\r\n\r\n" not in self._head:
                return True
            head, _, piece = self._head.partition(b"\r\n\r\n")
            self._head = None
            self.ended = b" 204 " in head.split(b"\r\n")[0]
            return not self.ended and (not piece or self._record(piece))
        return bool(piece) and self._record(piece)

    def _record(self, piece: bytes) -> bool:
        """Keep the numbers only: thousands of these readers share a process, which is to be quick."""
        *events, self._rest = (self._rest + piece).split(b"\n\n")
        for event in events:
            if found := EVENT.search(event):
                self._last_id, number, kind = (part.decode() for part in found.groups())
                self.numbers.append(int(number))
                if kind in self.seqs:
                    self.seqs[kind] += map(int, SEQ.findall(event))
        return True

    def leave(self, reset: bool = False) -> None:
        if self._socket is None:
            return
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()
        self._socket = None


@pytest.mark.long
async def test_rude_readers_harm_nobody_and_miss_nothing(tmp_path: Path, chance: Random) -> None:
    count = rounds(200, 2000)
    with running(tmp_path, queue_frames=8, queue_bytes=64 << 10) as service:
        done = asyncio.Event()
        client = service.client()
        client.get("/healthz")
        begin, held = memory(service), descriptors(service)
        async with under_load(Cluster([service]), chance, size=2000, patience=60 + count // 2) as load:
            rude = [
                RudeReader(service, chance.choice(load.runs), Random(chance.random()))
                for _ in range(count)
            ]
            tasks = [asyncio.create_task(one.behave(done)) for one in rude]
            most = begin
            for _ in range(12):
                await load.more(20)
                most = max(most, memory(service))
            # normal readers are served beside them
            behind = load.newest
            await load.until(
                lambda: all(one.numbers and one.numbers[-1] >= behind for one in load.endless)
            )
            done.set()
        assert most - begin < MOST_GROWTH, f"{(most - begin) >> 20} MiB"
        async with asyncio.timeout(60 + count // 2):
            await asyncio.gather(*tasks)
            for one in rude:
                await one.finish()
                one.leave()
        totals = {run: client.get(f"/runs/{run}").json() for run in load.runs}
        for one in rude:
            detail = totals[one._path.rpartition(":")[2]]
            for kind, seqs in one.seqs.items():
                assert seqs == list(range(1, detail[f"{kind}_count"] + 1))
            assert one.numbers == sorted(set(one.numbers))
        assert metric(service, "athanor_overflows_total") > 0, "nobody was slow"
        for name in ("athanor_subscribers", "athanor_backlog_bytes"):
            await asyncio.to_thread(wait_until, lambda: metric(service, name) == 0, name)  # noqa: B023
        # the connections of `client`
        await asyncio.to_thread(wait_until, lambda: descriptors(service) <= held + 3, "closed sockets")
        assert "Traceback" not in service.log.read_text()
        print(
            f"{count} readers, {sum(one.connections for one in rude)} connections,",
            f"{metric(service, 'athanor_overflows_total'):.0f} overflows, {(most - begin) >> 20} MiB",
        )
