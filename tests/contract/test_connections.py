"""Rude connections: each is bounded in memory and time, told so and counted, and hurts nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import psutil
import pytest
import uvloop

from ..support.follower import wait_until
from ..support.mutants import ANY, mutants
from ..support.patience import PATIENCE
from ..support.raw import (
    GET,
    LAST_GET,
    a_normal_client,
    connect,
    flood,
    peak_memory,
    read_head,
    read_response,
    read_to_the_end,
    read_until,
    status_of,
    talk,
)
from ..support.service import ROOT, Service, metric, new_run, running

Dial = Callable[..., socket.socket]
MIB = 1024 * 1024
FLOODERS = 8
MUTANTS = 10_000
MOST_MEMORY = 256 * MIB
LIMITS = {
    "header_timeout": 1.0,
    "body_timeout": 2.0,
    "write_timeout": 4.0,
    "linger_timeout": 1.0,
}
"""Shorter times than those of the service, for what is tested here; its sizes."""
POST = b"POST /instances HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
FLOODS = {
    "many headers": (GET[:-2], b"a: b\r\n" * 10_000),
    "a long header": (GET[:-2] + b"a: ", b"b" * 65_536),
    "a long name": (GET[:-2] + b"a", b"b" * 65_536),
    "a long target": (b"GET /", b"b" * 65_536),
    "many trailers": (CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000),
    "a long trailer": (CHUNKED + b"0\r\na: ", b"b" * 65_536),
    "a long chunk extension": (CHUNKED + b"1;", b"b" * 65_536),
    "empty lines": (b"", b"\r\n" * 32_768),
}


def impatient(folder: Path, http: str = "httptools", **settings: Any) -> Service:
    limits = json.dumps(settings.pop("limits", LIMITS))
    program = ROOT / "tests" / "support" / "hosts" / "impatient.py"
    return Service(folder, program=program, test_limits=limits, test_http=http, **settings)


@pytest.fixture(scope="module", params=["httptools", "h11"])
def rude(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that is short of patience, with each of uvicorn's parsers."""
    service = impatient(tmp_path_factory.mktemp("rude"), request.param)
    try:
        yield service.start()
        log = service.log.read_text()
        assert "Traceback" not in log, log[-5000:]
        assert "Invalid HTTP" not in log, "a client can fill the log"
    finally:
        service.close()


@pytest.fixture
def dial() -> Iterator[Dial]:
    """Opens connections that are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(connect(*arguments))


def refused(service: Service, reason: str) -> float:
    return metric(service, rf'athanor_refused_total\{{reason="{reason}"\}}')


@pytest.mark.parametrize("kind", FLOODS)
def test_endless_headers_are_refused_in_bounded_memory(rude: Service, kind: str) -> None:
    begin, more = FLOODS[kind]
    before = refused(rude, "headers") + refused(rude, "invalid")
    response = talk(rude, begin, more * 4)
    assert status_of(response) in (400, 431), response
    assert b"application/problem+json" in response
    assert b"connection: close" in response
    with a_normal_client(rude):
        flood(rude, begin, more, most=20 * MIB, connections=FLOODERS)
    assert refused(rude, "headers") + refused(rude, "invalid") == before + 1 + FLOODERS
    assert peak_memory(rude) < MOST_MEMORY


@pytest.mark.parametrize(
    ("fields", "size", "status"),
    [(99, 60_000, 200), (100, 1000, 431), (50, 66_000, 431), (1, 66_000, 431)],
)
def test_bound_of_headers(rude: Service, fields: int, size: int, status: int) -> None:
    """Each request has a Host beside `fields` headers, which have `size` bytes."""
    value = "b" * (size // fields - 9)
    headers = "".join(f"a{number:04}: {value}\r\n" for number in range(fields))
    head = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{headers}".encode()
    with connect(rude) as client:
        client.sendall(GET)
        assert status_of(read_response(client)) == 200
        client.sendall(head + b"\r\n")
        response = read_response(client)
    assert status_of(response) == status, response
    # the same byte by byte at the end, so that it comes in several parts
    with connect(rude) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = [bytes([byte]) for byte in head[-500:]]
        for part in (head[:-500], *ends, b"\r\n"):
            try:
                client.sendall(part)
            except ConnectionError:
                break
        assert status_of(read_response(client)) == status


def test_many_requests_at_once_are_not_all_kept(rude: Service, dial: Dial) -> None:
    with a_normal_client(rude):
        flood(rude, b"", GET * 20_000, most=2 * MIB, connections=20)
    assert peak_memory(rude) < MOST_MEMORY
    # those that wait for a stream that never ends are not kept either
    stream = b"GET /events/experiments:runs HTTP/1.1\r\nHost: localhost\r\n\r\n"
    streams = [dial(rude) for _ in range(50)]
    for each in streams:
        each.sendall(stream + GET * 2000)
    with a_normal_client(rude):
        for each in streams:
            assert status_of(read_head(each)) == 200
            each.close()
    assert peak_memory(rude) < MOST_MEMORY
    # some are a client's right
    responses = talk(rude, GET * 10, LAST_GET)
    assert responses.count(b"HTTP/1.1 200 OK") == 11


def test_silent_connections_end_in_time(rude: Service, dial: Dial) -> None:
    before = refused(rude, "header_timeout")
    with a_normal_client(rude):
        idle = dial(rude)
        silent = [dial(rude) for _ in range(200)]
        idle.sendall(GET)
        assert status_of(read_response(idle)) == 200
        begun = dial(rude)
        begun.sendall(b"GET /healthz HTT")
        # each byte is a sign of life, and none is a request
        slow = dial(rude)
        slow.settimeout(0.02)
        begin, received = time.monotonic(), b""
        slow.sendall(GET[:-2] + b"a: ")
        while not received and time.monotonic() - begin < 30:
            slow.sendall(b"b")
            try:
                received = slow.recv(65_536)
            except TimeoutError:
                continue
        assert status_of(received) == 408
        assert status_of(read_to_the_end(begun)) == 408
        assert {read_to_the_end(each) for each in silent} == {b""}
        # a connection that waits between two requests is none of these
        idle.sendall(GET)
        assert status_of(read_response(idle)) == 200
        # but one that has begun the next one is
        idle.sendall(b"GET")
        assert status_of(read_to_the_end(idle)) == 408
    assert refused(rude, "header_timeout") == before + 203


def test_bodies_that_do_not_go_on_end_in_time(rude: Service, dial: Dial) -> None:
    before = refused(rude, "body_timeout")
    head = POST + b'Content-Length: 1000\r\n\r\n{"name": "'
    with a_normal_client(rude):
        stuck = [dial(rude) for _ in range(50)]
        for each in stuck:
            each.sendall(head)
        extended = dial(rude)
        extended.sendall(CHUNKED + b"1;a=")
        # this one goes on, and has its own time
        slow = dial(rude)
        slow.sendall(POST + b'Content-Length: 16\r\n\r\n{"name": "')
        for byte in (b"s", b"l", b"o", b"w"):
            # longer than the time in all, and on a busy machine never so long without a byte
            time.sleep(0.6)
            slow.sendall(byte)
        slow.sendall(b'"}')
        assert status_of(read_response(slow)) == 201
        responses = [read_to_the_end(each) for each in (*stuck, extended)]
    assert {status_of(response) for response in responses} == {408}
    assert all(b"connection: close" in response for response in responses)
    assert refused(rude, "body_timeout") == before + 51


def test_who_does_not_read_is_cut_off_and_who_reads_slowly_is_not(rude: Service, dial: Dial) -> None:
    client = rude.client()
    run = new_run(client)
    lines = "\n".join(json.dumps({"message": "x" * 1000}) for _ in range(2000))
    headers = {"Content-Type": "application/x-ndjson"}
    for _ in range(8):
        client.post(f"/runs/{run}/logs", content=lines, headers=headers).raise_for_status()
    before = refused(rude, "write_timeout")
    get = (
        f"GET /events/experiments:run:{run}?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    idle = dial(rude)
    idle.sendall(b"GET /events/experiments:runs HTTP/1.1\r\nHost: localhost\r\n\r\n")
    read_until(idle, b": athanor")
    slow, *stuck = [dial(rude, 16_384) for _ in range(20)]
    for each in (slow, *stuck):
        each.sendall(get)
    received = 0
    with a_normal_client(rude):
        while refused(rude, "write_timeout") < before + len(stuck):
            received += len(slow.recv(20_000))
            time.sleep(0.1)
        for _ in range(10):
            received += len(slow.recv(20_000))
            time.sleep(0.1)
    assert refused(rude, "write_timeout") == before + len(stuck)
    # the client's own connection may be about to end
    rude.client().post(f"/runs/{run}/complete").raise_for_status()
    # a stream without events is not blocked
    read_until(idle, b"run_completed")
    assert received + read_until(slow, b"run_completed") > 16_000_000
    for each in stuck:
        assert len(read_to_the_end(each)) < 16_000_000
    assert peak_memory(rude) < MOST_MEMORY


def test_a_reset_pipeline_leaves_nothing(rude: Service, dial: Dial) -> None:
    """The fixture looks for tracebacks."""
    client = rude.client()
    run = new_run(client)
    stream = f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    wait_until(lambda: metric(rude, "athanor_subscribers") == 0, "the end of other tests' streams")
    for number in range(60):
        each = dial(rude)
        each.sendall((stream if number % 2 else GET) + GET * 20 + CHUNKED + b"5\r\n")
        if number % 3:
            each.recv(100)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.close()
    client.post(f"/runs/{run}/logs", json={"message": "x"}).raise_for_status()
    wait_until(lambda: metric(rude, "athanor_subscribers") == 0, "the end of the streams")


@pytest.mark.parametrize("path", ["/metrics", "/events/experiments:run:{run}?tail=9", "/instances"])
def test_http_1_0_gets_no_chunks(rude: Service, path: str) -> None:
    client = rude.client()
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json={"message": "hello"}).raise_for_status()
    client.post(f"/runs/{run}/complete").raise_for_status()
    response = talk(rude, f"GET {path.format(run=run)} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert status_of(head) == 200
    if path.startswith("/events"):
        assert body.startswith(b"retry: ")
        assert body.endswith(b"\n\n")
        assert b"hello" in body
    assert not re.search(rb"^[0-9a-f]+\r$", body, re.MULTILINE)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_more_connections_than_files(tmp_path: Path, loop: str, dial: Dial) -> None:
    limits = LIMITS | {"header_timeout": 5.0, "notice_interval": 3600.0}
    service = impatient(tmp_path, prefix=("prlimit", "--nofile=100:256"), limits=limits, test_loop=loop)
    try:
        service.start()
        client = service.client()
        assert metric(service, "process_max_fds") == 256
        client.get("/healthz").raise_for_status()
        crowd = [dial(service) for _ in range(600)]
        # who is in is served
        client.get("/healthz").raise_for_status()
        refusals = talk(service, GET)
        assert status_of(refusals) == 503
        assert b"retry-after: " in refusals
        wait_until(lambda: "connections were refused" in service.log.read_text(), "the line")
        client.get("/healthz").raise_for_status()
        received = [read_to_the_end(each) for each in crowd]
        # the silent ones have had their time, and there is room again
        with a_normal_client(service):
            pass
        assert received.count(b"") < 256 - 64 + 1
        assert sum(each.startswith(b"HTTP/1.1 503") for each in received) == 600 - received.count(b"")
        assert refused(service, "connections") == 601 - received.count(b"")
        _exhaust(service, dial)
    finally:
        service.close()
    log = service.log.read_text()
    assert log.count("connections were refused") == 1
    assert log.count("the system refused new connections") == 1
    assert "Traceback" not in log
    assert "out of system resource" not in log


def _open_files(service: Service) -> Iterator[tuple[int, str]]:
    for path in Path(f"/proc/{service.pid}/fd").iterdir():
        # a connection may be closed meanwhile
        with contextlib.suppress(FileNotFoundError):
            yield int(path.name), str(path.readlink())


def _exhaust(service: Service, dial: Dial) -> None:
    """Take the last descriptor from the process, whatever it expected: it waits, and says so."""
    process = psutil.Process(service.pid)
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    spare = max(number for number, target in _open_files(service) if target == "/dev/null")
    # what is free below is soon taken
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (spare + 1, before[1]))
    used = sum(process.cpu_times()[:2])
    begin = time.monotonic()
    waiting = [dial(service) for _ in range(20)]
    for each in waiting:
        each.sendall(GET)
    wait_until(lambda: "the system refused" in service.log.read_text(), "the line")
    time.sleep(1)
    share = (sum(process.cpu_times()[:2]) - used) / (time.monotonic() - begin)
    assert share < 0.5, f"it spins, and uses {share:.0%} of a core"
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)
    # most have waited, and are served now
    statuses = []
    for each in waiting:
        statuses.append(status_of(read_response(each)))
    assert set(statuses) == {200, 503}
    assert statuses.count(200) > 10


def test_a_cap_by_the_setting(tmp_path: Path, dial: Dial) -> None:
    service = impatient(tmp_path, max_connections=5)
    try:
        service.start()
        assert status_of(talk(service, LAST_GET)) == 200
        crowd = [dial(service) for _ in range(10)]
        received = [read_to_the_end(each) for each in crowd]
        assert sorted(bool(each) for each in received) == [False] * 5 + [True] * 5
    finally:
        service.close()


def test_workers_have_these_bounds_too(tmp_path: Path, database: str) -> None:
    with running(tmp_path, database_url=database, workers=2, readers=1) as service:
        wait_until(lambda: _answers(service), "the workers")
        heads = [talk(service, GET[:-2] + b"a: b\r\n" * 100 + b"\r\n") for _ in range(6)]
        assert [status_of(head) for head in heads] == [431] * 6
        text = service.client().get("/metrics").text
    counts = re.findall(r'^athanor_refused_total\{reason="headers",worker="\d+"\} (\S+)', text, re.M)
    assert sum(map(float, counts)) == 6


def _answers(service: Service) -> bool:
    try:
        return talk(service, LAST_GET) != b""
    except ConnectionError:
        return False


@pytest.mark.parametrize("target", ["app:app", "athanor:app"])
def test_uvicorn_without_our_server(tmp_path: Path, target: str) -> None:
    service = Service(tmp_path)
    with service.log.open("wb") as log:
        service.process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", target, "--port", "0"],
            cwd=ROOT,
            env=service.environment(),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        service.await_ready()
        client = service.client()
        run = new_run(client)
        client.post(f"/runs/{run}/complete").raise_for_status()
        assert client.get(f"/runs/{run}").json()["status"] == "completed"
        assert refused(service, "connections") == 0
        assert service.terminate() == 0
    finally:
        service.close()


def test_ten_thousand_requests_that_are_not_quite_http(rude: Service) -> None:
    client = rude.client()
    run = new_run(client)
    client.post(f"/runs/{run}/complete").raise_for_status()
    stored = {item["name"] for item in _instances(rude)}
    # h11 is the parser where there is no httptools
    count = MUTANTS if rude.settings["test_http"] == "httptools" else MUTANTS // 10
    sent = list(mutants(17, count, run))
    with a_normal_client(rude), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        received = runner.run(send_all(rude, [data for data, _ in sent]))
    statuses = Counter(int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received))
    assert {status for status in statuses if status >= 500} <= {503}, statuses
    assert {200, 201, 400, 404, 408} <= set(statuses), f"the mutants are too much alike: {statuses}"
    assert sum(statuses.values()) > count, "some are not answered"
    names = {item["name"] for item in _instances(rude)} - stored
    assert names <= {name for _, name in sent if name.startswith(ANY)}
    assert len(names) > count / 100
    assert peak_memory(rude) < MOST_MEMORY


async def send_all(service: Service, requests: list[bytes]) -> bytes:
    """Send each on a connection of its own, many at a time; all that comes back."""
    received: list[bytes] = []
    waiting = iter(requests)

    async def work() -> None:
        for request in waiting:
            reader, writer = await asyncio.open_connection(service.host, service.port)
            with contextlib.suppress(ConnectionError):
                writer.write(request)
                # the last one may wait for more, until it is refused
                writer.write(LAST_GET)
                while chunk := await reader.read(1 << 20):
                    received.append(chunk)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(work() for _ in range(200)))
    return b"".join(received)


def _instances(service: Service) -> Iterator[dict[str, Any]]:
    with service.client() as client:
        query: dict[str, Any] = {"limit": 1000}
        while True:
            page = client.get("/instances", params=query).raise_for_status().json()
            yield from page["instances"]
            if page["next"] is None:
                return
            query = dict(parse_qsl(urlsplit(page["next"]).query))
