"""What two processes deliver on two cores, over what one delivers: subscribers of one run, on PostgreSQL.

Each process has a core of its own; the lines come as fast as the slowest subscriber gets them, a batch
behind the one that is on its way. Most subscribers leave what comes in their sockets and empty them a few
times a second, unread, so that the client costs little beside what it measures; a few read every line.
The time is from the first line posted until every stream has ended, behind the run's final event.
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
"""Of a node's subscribers, those that read what comes."""
BATCH = 20
BATCHES = 200
AHEAD = 8
"""Batches that are on their way."""
DRAIN_EVERY = 0.5
PATIENCE = 60.0
BUFFER = 8 * 1024 * 1024


class Subscriber:
    """A connection to a node's stream; `lines` is how far a sample has read."""

    def __init__(self, node: Service, run: str) -> None:
        self.lines = 0
        self.ended = False
        self.socket = socket.create_connection((node.host, node.port))
        head = f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        self.socket.sendall(head.encode())
        hello = b""
        while b"athanor\n\n" not in hello:
            hello += self.socket.recv(4096)
        self.socket.setblocking(False)

    def read(self) -> None:
        """Take what is here, and look at it."""
        with contextlib.suppress(BlockingIOError):
            piece = self.socket.recv(1 << 20)
            self.lines += piece.count(b'"seq":')
            self.ended = not piece

    def drain(self, space: bytearray) -> None:
        """Take what is here, without a look: the kernel throws it away."""
        with contextlib.suppress(BlockingIOError):
            while self.socket.recv_into(space, BUFFER, socket.MSG_TRUNC):
                pass
            self.ended = True


class Producer(threading.Thread):
    """Posts the batches to one node, each when there is leave to."""

    def __init__(self, node: Service, run: str) -> None:
        super().__init__()
        self.leave = threading.Semaphore(AHEAD)
        self.client: httpx.Client = node.client()
        self._run = run

    def run(self) -> None:
        for number in range(BATCHES):
            self.leave.acquire()
            line = json.dumps({"message": f"batch {number:6} loss 0.1234 accuracy 0.9876"})
            body = "\n".join([line] * BATCH)
            headers = {"Content-Type": "application/x-ndjson"}
            self.client.post(f"/runs/{self._run}/logs", content=body, headers=headers).raise_for_status()


def deliver(count: int) -> tuple[float, float]:
    """Lines delivered a second by so many nodes together, and a CPU second of theirs."""
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
            assert time.perf_counter() < began + PATIENCE, "the lines stopped coming"
            for key, _ in selector.select(0.05):
                key.data.read()
            done = min(sample.lines for sample in samples) // BATCH
            if done > allowed:
                producer.leave.release(done - allowed)
                allowed = done
            if time.perf_counter() - drained > DRAIN_EVERY:
                for other in others:
                    other.drain(space)
                drained = time.perf_counter()
        producer.join()
        producer.client.post(f"/runs/{run}/complete").raise_for_status()
        while left := [one for of_node in subscribers for one in of_node if not one.ended]:
            assert time.perf_counter() < began + PATIENCE, f"{len(left)} streams did not end"
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
        "one process, lines delivered a second": one,
        "… a CPU second of its own": one_cpu,
        "two processes, lines delivered a second": two,
        "… a CPU second of theirs": two_cpu,
        "two over one": two / one,
    }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
