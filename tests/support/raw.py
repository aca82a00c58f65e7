"""Clients that do not keep to HTTP, over bare sockets."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .patience import PATIENCE
from .service import Service
from .stopwatch import Stopwatch

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST_GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def connect(service: Service, receive_buffer: int | None = None) -> socket.socket:
    client = socket.socket()
    if receive_buffer is not None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(PATIENCE)
    try:
        client.connect((service.host, service.port))
    except OSError:
        client.close()
        raise
    return client


def read_to_the_end(client: socket.socket) -> bytes:
    """What comes until the connection ends, in order or not."""
    received = bytearray()
    with contextlib.suppress(ConnectionError), client:
        while chunk := client.recv(1 << 20):
            received += chunk
    return bytes(received)


def read_head(client: socket.socket) -> bytes:
    """The status line and the headers of a response, and what came with them."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _some(client)
    return received


def read_response(client: socket.socket) -> bytes:
    """One response that has a Content-Length."""
    head, _, body = read_head(client).partition(b"\r\n\r\n")
    found = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
    assert found is not None, head
    while len(body) < int(found[1]):
        body += _some(client)
    return head + b"\r\n\r\n" + body


def read_until(client: socket.socket, text: bytes) -> int:
    """Read until `text` comes; returns how many bytes that were."""
    size, tail = 0, b""
    while text not in tail:
        chunk = _some(client)
        size += len(chunk)
        tail = tail[-len(text) :] + chunk
    return size


def _some(client: socket.socket) -> bytes:
    chunk = client.recv(1 << 20)
    assert chunk, "the service closed the connection"
    return chunk


def talk(service: Service, *parts: bytes) -> bytes:
    """Send, in parts, and return what comes until the service ends the connection."""
    client = connect(service)
    with contextlib.suppress(ConnectionError):
        for part in parts:
            client.sendall(part)
    return read_to_the_end(client)


def status_of(response: bytes) -> int:
    assert response.startswith(b"HTTP/1.1 "), response[:200]
    return int(response[9:12])


def flood(service: Service, begin: bytes, more: bytes, most: int, connections: int) -> int:
    """Send `begin`, then `more` up to `most` bytes, on several connections at once.

    Returns the bytes that the service took.
    """
    sent = [0] * connections

    def one(number: int) -> None:
        with contextlib.suppress(OSError), connect(service) as client:
            # the service may also stop reading
            client.settimeout(2)
            client.sendall(begin)
            while sent[number] < most:
                client.sendall(more)
                sent[number] += len(more)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the service takes it for ever"
    return sum(sent)


@contextlib.contextmanager
def a_normal_client(service: Service, within: float = 2.0) -> Iterator[None]:
    """A client that opens a connection for each of its requests, and is served all the while."""
    stop = threading.Event()
    faults: list[Any] = []
    served = 0

    def use() -> None:
        nonlocal served
        while not (served and stop.wait(0.02)):
            if faults:
                return
            watch = Stopwatch(service.pid)
            try:
                with connect(service) as client:
                    client.sendall(b"GET /instances?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    status = status_of(read_response(client))
            except (OSError, AssertionError) as error:
                faults.append(error)
                continue
            took = watch.elapsed()
            if status != 200 or took > within:
                faults.append((status, took))
            served += 1

    thread = threading.Thread(target=use)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)
    assert not faults, faults[:3]
    assert served, "it was not served at all"


def peak_memory(service: Service) -> int:
    """The most bytes of memory that the service's process had since it started."""
    for line in Path(f"/proc/{service.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process has no VmHWM")
