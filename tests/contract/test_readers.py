"""Readers in large numbers and of every kind: memory has a bound, others are served, nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from athanor import Application, Athanor, Settings
from athanor.config import Limits
from athanor.live.formats import sse
from athanor.protocol.entries import LogInput
from athanor.web.event_stream import EventStream
from athanor.web.open_streams import client_of

from ..support import plain, raw
from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.service import Service, metric, new_run, running
from ..support.stopwatch import Stopwatch

MIB = 1024 * 1024
MOST_RSS = 256 * MIB
LISTS = 60
"""Of 8 MiB each, which take a tenth of a second of CPU each."""
STREAMS, RESULTS = 200, 24
SERVED_WITHIN = 5.0
"""Seconds for a request beside all that; it takes milliseconds, and tests share their machine."""


def connect(service: Service, request: str, receive_buffer: int = 8192) -> socket.socket:
    """A connection with a request on it, of which nothing is read."""
    connection = raw.connect(service, receive_buffer)
    connection.sendall(request.encode())
    return connection


def get(path: str, *headers: str, method: str = "GET") -> str:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""])


def refused(service: Service, reason: str) -> float:
    text = plain.get(f"{service.url}/metrics").text
    found = re.search(rf'^athanor_refused_total{{reason="{reason}"}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def await_no_streams(service: Service) -> None:
    """Until the service has noticed that all clients have left."""
    wait_until(lambda: metric(service, "athanor_subscribers") == 0, "the end of all streams")


def is_cut_off(connection: socket.socket) -> bool:
    """Whether a response ends before the length that it announces."""
    with contextlib.suppress(ConnectionResetError):
        head, _, body = raw.read_head(connection).partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        assert length is not None
        missing = int(length[1]) - len(body)
        while missing > 0 and (piece := connection.recv(MIB)):
            missing -= len(piece)
        return missing > 0
    return True


class Memory(threading.Thread):
    """Measures the largest RSS of a service, and how long another client waits for a small list."""

    def __init__(self, service: Service, path: str) -> None:
        super().__init__(daemon=True)
        self.rss = 0
        self.slowest = 0.0
        self._process = psutil.Process(service.pid)
        self._url = f"{service.url}{path}"
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.is_set():
            watch = Stopwatch(self._process.pid)
            plain.get(self._url).raise_for_status()
            self.slowest = max(self.slowest, watch.elapsed())
            self.rss = max(self.rss, self._process.memory_info().rss)
            self._done.wait(0.02)

    def stop(self) -> None:
        self._done.set()
        self.join(PATIENCE)

    def check(self) -> None:
        assert 0 < self.rss < MOST_RSS, f"{self.rss / MIB:.0f} MiB"
        assert self.slowest < SERVED_WITHIN


@contextlib.contextmanager
def measured(service: Service, path: str) -> Iterator[None]:
    memory = Memory(service, path)
    memory.start()
    try:
        yield
    finally:
        memory.stop()
    memory.check()


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for this module, whose memory and subscribers are counted."""
    with running(tmp_path_factory.mktemp("readers")) as service:
        yield service


@pytest.fixture
def big_run(readers: Service) -> str:
    """A run with about 8 MiB of log lines in it."""
    with plain.client(base_url=readers.url) as client:
        run = new_run(client)
        body = "\n".join(json.dumps({"message": "x" * 8000}) for _ in range(250))
        headers = {"Content-Type": "application/x-ndjson"}
        for _ in range(4):
            client.post(f"/runs/{run}/logs", content=body, headers=headers).raise_for_status()
    return run


@pytest.mark.long
def test_lists_that_nobody_reads_are_cut_off(readers: Service, big_run: str) -> None:
    path = f"/runs/{big_run}/logs?limit=10000"
    before = refused(readers, "backlog")
    with measured(readers, f"/runs/{big_run}/logs?limit=10"), contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(connect(readers, get(path))) for _ in range(LISTS)]
        wait_until(lambda: refused(readers, "backlog") - before > LISTS - 15, "readers to be cut off")
        # the oldest is one of them; the newest is not, and gets all of it when it reads at last
        assert is_cut_off(stalled[0])
        assert not is_cut_off(stalled[-1])
        whole = plain.get(f"{readers.url}{path}").json()
        assert [line["seq"] for line in whole["logs"]] == list(range(1, 1001))
        wait_until(lambda: metric(readers, "athanor_backlog_bytes") <= 48 * MIB, "the bound")
    wait_until(lambda: metric(readers, "athanor_backlog_bytes") == 0, "an empty backlog")


@pytest.mark.long
def test_streams_that_nobody_reads_hold_little(readers: Service) -> None:
    client = readers.client()
    run = new_run(client)
    path = f"/events/experiments:run:{run}"
    await_no_streams(readers)
    with measured(readers, f"/runs/{run}"), contextlib.ExitStack() as stack:
        for _ in range(STREAMS):
            stack.enter_context(connect(readers, get(path)))
        reader = Follower(readers.url, path)
        reader.start()
        wait_until(lambda: metric(readers, "athanor_subscribers") == STREAMS + 1, "the streams")
        # each is an event of its own, of almost the size of an inbox
        results = [{"key": "large", "value": "x" * 900_000} for _ in range(8)]
        for _ in range(RESULTS // 8):
            client.post(f"/runs/{run}/results", json=results).raise_for_status()
        wait_until(lambda: len(reader.events) == RESULTS, "all results at the one that reads")
        assert [data["result"]["seq"] for _, data in reader.events] == list(range(1, RESULTS + 1))
        # each holds a chunk of its own, and all of them share the rest
        assert metric(readers, "athanor_backlog_bytes") < 48 * MIB
    client.post(f"/runs/{run}/complete").raise_for_status()
    reader.finish()
    wait_until(lambda: metric(readers, "athanor_backlog_bytes") == 0, "an empty backlog")


@pytest.mark.long
def test_streams_in_every_way_of_leaving_leave_nothing(readers: Service) -> None:
    client = readers.client()
    run = new_run(client)
    client.post(
        f"/runs/{run}/logs", json=[{"message": "x" * 60_000} for _ in range(50)]
    ).raise_for_status()
    await_no_streams(readers)
    descriptors = metric(readers, "process_open_fds")
    path = f"/events/experiments:run:{run}"
    live, whole = get(path), get(f"{path}?last_event_id=0")
    both = get("/events?topic=experiments:runs&topic=experiments:instances")
    for _ in range(70):
        connections = [
            # vanishes at once, and with a reset
            connect(readers, live),
            connect(readers, whole),
            # does not read its replay, and then vanishes
            connect(readers, whole),
            # closes its half
            connect(readers, both),
            connect(readers, whole),
            # has a second request behind the stream
            connect(readers, live + live),
            connect(readers, get(path, method="HEAD")),
        ]
        for connection in (connections[0], connections[1]):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        for connection in (connections[3], connections[4]):
            connection.shutdown(socket.SHUT_WR)
        assert raw.status_of(raw.read_head(connections[6])) == 200
        for connection in connections[2:]:
            connection.close()
    # a stream with a request behind it learns of the end when it writes
    for _ in range(3):
        client.post(f"/runs/{run}/logs", json={"message": "y"}).raise_for_status()
    await_no_streams(readers)
    wait_until(lambda: metric(readers, "process_open_fds") <= descriptors, "the end of all connections")
    wait_until(lambda: metric(readers, "athanor_backlog_bytes") == 0, "an empty backlog")


def test_too_many_streams(tmp_path: Path) -> None:
    with running(tmp_path, max_streams=3, max_streams_per_client=2) as service:
        client = service.client()
        run = new_run(client)
        path = f"/events/experiments:run:{run}"
        held = [connect(service, get(path)) for _ in range(2)]
        wait_until(lambda: metric(service, "athanor_subscribers") == 2, "two streams")
        # an EventSource may come back after 200 only
        answer = client.get(path, headers={"Accept": "text/event-stream"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        retry = re.match(r"retry: (\d+)\nevent: busy\ndata: (.*)\n\n$", answer.text)
        assert retry is not None
        assert 15_000 <= int(retry[1]) <= 30_000
        assert json.loads(retry[2])["retry"] == int(retry[1])
        assert "127.0.0.1 has its 2 streams" in json.loads(retry[2])["detail"]
        bare = client.get(f"{path}?unnamed=1", headers={"Accept": "text/event-stream"})
        assert re.fullmatch(r"retry: \d+\n\n\n", bare.text)
        for accept in ("application/x-ndjson", "*/*", "text/plain"):
            answer = client.get(path, headers={"Accept": accept})
            assert answer.status_code == 503
            assert 15 <= int(answer.headers["retry-after"]) <= 30
            assert "127.0.0.1 has its 2 streams" in answer.json()["detail"]
        assert refused(service, "streams") == 5
        # what ends makes room, and what is refused or answered otherwise takes none
        held.pop().close()
        wait_until(lambda: metric(service, "athanor_subscribers") == 1, "the end of one")
        assert client.get("/events/experiments:run:none").status_code == 404
        client.post(f"/runs/{run}/complete").raise_for_status()
        assert "run_completed" in client.get(path, headers={"Accept": "text/event-stream"}).text
        held.pop().close()


@pytest.mark.parametrize(
    ("client", "counted"),
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("::ffff:192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:0db8:0001:0002::/64"),
        (("2001:db8:1:2::9", 1), "2001:0db8:0001:0002::/64"),
        (("fe80::1%eth0", 1), "fe80:0000:0000:0000::/64"),
        (("odd:name", 1), "odd:name"),
        (None, ""),
    ],
)
def test_a_client_is_an_address_or_a_network(client: tuple[str, int] | None, counted: str) -> None:
    assert client_of({"client": client}) == counted


class Served:
    """A stream of an application in this process, whose client takes nothing after `taken` sends."""

    def __init__(self, engine: Athanor, path: str, taken: int = 2**31, query: bytes = b"") -> None:
        self.bodies: list[bytes] = []
        self.ended = False
        self.left = taken
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query,
            "headers": [(b"host", b"localhost")],
        }
        self.task = asyncio.ensure_future(Application(engine)(scope, self.receive, self.send))

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send(self, message: Any) -> None:
        if self.left <= 0:
            await asyncio.Event().wait()
        self.left -= 1
        if message["type"] == "http.response.body":
            self.bodies.append(bytes(message["body"]))
            self.ended = not message["more_body"]


async def started_run(engine: Athanor) -> str:
    run = await engine.create_run((await engine.create_instance("here")).id)
    await engine.start_run(run.id)
    return run.id


@pytest.mark.anyio
async def test_a_client_of_any_server_that_takes_nothing_is_cut_off_in_time(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")
    limits = Limits(write_timeout=0.2)
    async with Athanor(settings, limits) as engine:
        run = await started_run(engine)
        await engine.append(run, [LogInput(message="x" * 200_000)])
        # the head, and a part of the body
        stream = Served(engine, f"/events/experiments:run:{run}", 3, b"last_event_id=0")
        whole = Served(engine, f"/runs/{run}/logs", 2)
        await asyncio.wait_for(asyncio.gather(stream.task, whole.task), PATIENCE)
        assert not stream.ended
        assert not whole.ended
        assert +Counter(engine.refusals.counts) == {"silence": 2}
        assert engine.parts.hub.backlog.size == engine.statistics().subscribers == 0
        # one that reads gets all of it, in chunks
        whole = Served(engine, f"/runs/{run}/logs")
        await asyncio.wait_for(whole.task, PATIENCE)
        assert whole.ended
        assert len(b"".join(whole.bodies)) > 200_000
        assert max(map(len, whole.bodies)) <= limits.chunk_bytes


@pytest.mark.anyio
async def test_a_stream_ends_at_its_time_or_by_a_call(tmp_path: Path) -> None:
    async with Athanor(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")) as engine:
        run = await started_run(engine)
        for lifetime in (0.05, None):
            subscription = engine.subscribe(f"experiments:run:{run}")
            await subscription.open()
            streams: set[EventStream] = set()
            stream = EventStream(engine, subscription, "text/event-stream", sse, streams, lifetime)
            served = Served.__new__(Served)
            served.bodies, served.left = [], 2**31
            task = asyncio.ensure_future(stream({"method": "GET"}, served.receive, served.send))
            if lifetime is None:
                await asyncio.to_thread(wait_until, lambda s=served: s.bodies, "the greeting")
                assert streams == {stream}
                stream.end()
            await asyncio.wait_for(task, PATIENCE)
            assert served.ended
            assert not streams
            assert engine.statistics().subscribers == 0
