"""Readers that do not read: bounded memory, no harm to others, and every line when they read again."""

from __future__ import annotations

import json
import re
import socket

import psutil
import pytest

from ..support.follower import Follower, wait_until
from ..support.service import Service, metric, new_run

STALLED = 50
LINES = 50_000
BOUND = 64 * 1024 * 1024
"""64 KiB of transport buffer and two frames of 256 KiB in one send for each of them is 29 MiB; the
rest is for the ring, SQLite's caches and what the allocator keeps of it."""


class Stalled:
    """A stream over a bare socket with a small buffer, opened and left unread."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())

    def read_to_the_end(self) -> list[int]:
        received = bytearray()
        while chunk := self.socket.recv(1 << 20):
            received += chunk
        self.socket.close()
        return [int(seq) for seq in re.findall(rb'"seq":(\d+),', received)]


@pytest.mark.long
def test_fifty_that_never_read_harm_nobody_and_lose_nothing(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    path = f"/events/experiments:run:{run}"
    process = psutil.Process(service.pid)
    warm = new_run(client)
    body = "\n".join(json.dumps({"message": "x" * 500}) for _ in range(1000))
    headers = {"Content-Type": "application/x-ndjson"}
    for _ in range(20):  # what the writing itself costs is not the readers'
        client.post(f"/runs/{warm}/logs", content=body, headers=headers).raise_for_status()
    before = process.memory_info().rss
    stalled = [Stalled(service.port, path) for _ in range(STALLED)]
    reader = Follower(service.url, path)
    reader.start()
    wait_until(lambda: metric(service, "athanor_subscribers") == STALLED + 1, "the streams")
    peak = 0
    for _ in range(LINES // 1000):
        client.post(f"/runs/{run}/logs", content=body, headers=headers).raise_for_status()
        peak = max(peak, process.memory_info().rss)
    # the reader beside them is served while they stall
    wait_until(lambda: len(reader.seqs) == LINES, "the reader's lines")
    assert reader.seqs == list(range(1, LINES + 1))
    grown = max(peak, process.memory_info().rss) - before
    assert grown < BOUND, f"grew by {grown / 2**20:.1f} MiB"
    assert metric(service, "athanor_overflows_total") >= STALLED, "the readers were to overflow"
    client.post(f"/runs/{run}/complete").raise_for_status()
    reader.finish()
    for one in stalled:
        assert one.read_to_the_end() == list(range(1, LINES + 1))
