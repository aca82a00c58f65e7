"""Delivery by two processes on two cores, compared with one: subscribers of one run, PostgreSQL.

Each process has a core of its own. Batches are posted as fast as the slowest sampled subscriber
receives them, with a few in flight. Most subscribers discard what their sockets hold a few times a
second, so that the client costs little compared with the service; a few samples read every line.
The measured time is from the first post until every stream has ended, after the run's final event.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import threading
import time

import httpx

from tests.support.service import Service, metric, new_run

from .harness import Figures, cpu_seconds, nodes_alone, report

SUBSCRIBERS = 2000
SAMPLES = 4
"""The number of a node's subscribers that read their lines."""
BATCH = 20
BATCHES = 200
AHEAD = 8
"""Batches in flight."""
DRAIN_EVERY = 0.5
"""Seconds."""
TIMEOUT = 60.0
BUFFER = 8 * 1024 * 1024


class Subscriber:
    """A connection to a node's stream; `lines` counts what a sample has read."""

    def __init__(self, node: Service, run: str) -> None:
        self.lines = 0
        self.ended = False
        self.socket = socket.create_connection((node.host, node.port))
        head = f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n"
        self.socket.sendall(head.encode())
        hello = b""
        while b"athanor\n\n" not in hello:
            hello += self.socket.recv(4096)
        self.socket.setblocking(False)

    def read(self) -> None:
        """Receive what the socket holds, and count its lines."""
        with contextlib.suppress(BlockingIOError):
            piece = self.socket.recv(1 << 20)
            self.lines += piece.count(b'"seq":')
            self.ended = not piece

    def drain(self, space: bytearray) -> None:
        """Discard what the socket holds, inside the kernel."""
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv_into(space, BUFFER, socket.MSG_TRUNC):
                pass
            self.ended = True


class Producer(threading.Thread):
    """Posts the batches to one node, each after a release of `slots`."""

    def __init__(self, node: Service, run: str) -> None:
        super().__init__()
        self.slots = threading.Semaphore(AHEAD)
        self.client: httpx.Client = node.client()
        self._run = run

    def run(self) -> None:
        for number in range(BATCHES):
            self.slots.acquire()
            line = json.dumps({"message": f"batch {number:6} loss 0.1234 accuracy 0.9876"})
            body = "\n".join([line] * BATCH)
            headers = {"Content-Type": "application/x-ndjson"}
            self.client.post(f"/runs/{self._run}/logs", content=body, headers=headers).raise_for_status()


def deliver(count: int) -> tuple[float, float]:
    """Lines delivered per second by `count` nodes together, and per CPU second."""
    with nodes_alone(count, flush_interval=0.005, keepalive=3600) as serving:
        run = new_run(serving[0].client())
        subscribers = [[Subscriber(node, run) for _ in range(SUBSCRIBERS // count)] for node in serving]
        samples = [one for of_node in subscribers for one in of_node[:: len(of_node) // SAMPLES]]
        others = [one for of_node in subscribers for one in of_node if one not in samples]
        selector = selectors.DefaultSelector()
        for sample in samples:
            selector.register(sample.socket, selectors.EVENT_READ, sample)
        producer = Producer(serving[0], run)
        space = bytearray(BUFFER)
        cpu = sum(map(cpu_seconds, serving))
        began = drained = time.perf_counter()
        producer.start()
        allowed = 0
        while allowed < BATCHES:
            assert time.perf_counter() < began + TIMEOUT, "the lines stopped"
            for key, _ in selector.select(0.05):
                key.data.read()
            done = min(sample.lines for sample in samples) // BATCH
            if done > allowed:
                producer.slots.release(done - allowed)
                allowed = done
            if time.perf_counter() - drained > DRAIN_EVERY:
                for other in others:
                    other.drain(space)
                drained = time.perf_counter()
        producer.join()
        producer.client.post(f"/runs/{run}/complete").raise_for_status()
        while left := [one for of_node in subscribers for one in of_node if not one.ended]:
            assert time.perf_counter() < began + TIMEOUT, f"{len(left)} streams did not end"
            for one in left:
                one.drain(space)
        seconds = time.perf_counter() - began
        cpu = sum(map(cpu_seconds, serving)) - cpu
        assert all(metric(one, "athanor_overflows_total") == 0 for one in serving)
        for of_node in subscribers:
            for one in of_node:
                one.socket.close()
        delivered = SUBSCRIBERS * BATCH * BATCHES
        return delivered / seconds, delivered / cpu


def measure() -> Figures:
    one, one_cpu = deliver(1)
    two, two_cpu = deliver(2)
    return {
        "one process, lines delivered per second": one,
        "… per CPU second": one_cpu,
        "two processes, lines delivered per second": two,
        "… per CPU second of both": two_cpu,
        "two over one": two / one,
    }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
