"""Clients that do not read: bounded memory, no effect on others, and no entry lost in the end."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.service import ROOT, Service, metric, new_run, running

STALLED = 50
LINES = 20_000
BOUND = 64 * 1024 * 1024
"""For each client, 64 KiB of transport buffer and two frames of 256 KiB in one send: 29 MiB. The
rest is for the ring, SQLite's caches and what the allocator keeps."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One that does not give up the readers while a busy machine is slow."""
    program = ROOT / "tests" / "support" / "hosts" / "impatient.py"
    limits = json.dumps({"write_timeout": 600.0})
    with running(tmp_path, program=program, test_limits=limits, test_http="httptools") as service:
        yield service


class Stalled:
    """A stream over a bare socket with a small buffer, opened and not read."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n".encode())

    def read_to_the_end(self) -> list[int]:
        received = bytearray()
        while chunk := self.socket.recv(1 << 20):
            received += chunk
        self.socket.close()
        return [int(seq) for seq in re.findall(rb'"seq":(\d+),', received)]


@pytest.mark.long
def test_fifty_that_do_not_read_affect_nobody_and_lose_nothing(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    path = f"/events/experiments:run:{run}"
    process = psutil.Process(service.pid)
    warm = new_run(client)
    body = "\n".join(json.dumps({"message": "x" * 500}) for _ in range(1000))
    headers = {"Content-Type": "application/x-ndjson"}
    # the memory for writing is allocated before the measurement
    for _ in range(20):
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
    # another reader is served while they stall
    wait_until(lambda: len(reader.seqs) == LINES, "all entries at the reader")
    assert reader.seqs == list(range(1, LINES + 1))
    grown = max(peak, process.memory_info().rss) - before
    assert grown < BOUND, f"grew by {grown / 2**20:.1f} MiB"
    assert metric(service, "athanor_overflows_total") >= STALLED, "the inboxes did not overflow"
    client.post(f"/runs/{run}/complete").raise_for_status()
    reader.finish()
    for each in stalled:
        assert each.read_to_the_end() == list(range(1, LINES + 1))
