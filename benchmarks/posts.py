"""One-line posts to 1,000 topics with a reader each: CPU of the service for each post and delivery."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Iterator
from functools import partial

from tests.support.service import Service, new_run

from .harness import Figures, cpu_seconds, report, service_alone
from .measurement import Measurement, Party, Scale, Target

TOPICS = 1000
CONNECTIONS = 50
ROUNDS = 10
FIGURE = "CPU of a post and its delivery, µs"
FEW, MANY = "Athanor, 50 producers", "Athanor, a producer for each topic"

BODY = b'{"message": "epoch 3 batch 17 loss 0.1234 accuracy 0.9876"}'


def measure() -> Figures:
    return posting(TOPICS, ROUNDS, CONNECTIONS)


def posting(topics: int, rounds: int, connections: int) -> Figures:
    with service_alone() as service:
        client = service.client()
        runs = [new_run(client) for _ in range(topics)]
        posting = selectors.DefaultSelector()
        reading = [_reader(service, run) for run in runs]
        producers = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(connections)]
        heads = [
            f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(BODY)}\r\n\r\n".encode()
            for run in runs
        ]
        work = [head + BODY for head in heads] * rounds
        for producer in producers:
            posting.register(producer, selectors.EVENT_READ)
        cpu = cpu_seconds(service)
        for producer in producers:
            producer.sendall(work.pop())
        waiting = len(producers)
        while waiting:
            for key, _ in posting.select():
                assert isinstance(key.fileobj, socket.socket)
                # head and body may come one after the other
                if not key.fileobj.recv(65536).endswith(b"}"):
                    continue
                waiting -= 1
                if work:
                    key.fileobj.sendall(work.pop())
                    waiting += 1
        delivered = sum(_lines_of(reader, rounds) for reader in reading)
        cpu = cpu_seconds(service) - cpu
        for connection in (*producers, *reading):
            connection.close()
        assert delivered == topics * rounds
        return {FIGURE: 1e6 * cpu / delivered}


def _reader(service: Service, run: str) -> socket.socket:
    reader = socket.create_connection(("127.0.0.1", service.port))
    reader.sendall(f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while b"athanor\n\n" not in reader.recv(4096):
        pass
    return reader


def _lines_of(reader: socket.socket, rounds: int) -> int:
    """The lines that a reader has got; it gets one in each round."""
    lines = 0
    while lines < rounds:
        lines += reader.recv(65536).count(b'"seq":')
    return lines


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    topics, rounds = scale.of(TOPICS, 100), scale.of(ROUNDS, 3)
    yield {
        FEW: partial(posting, topics, rounds, CONNECTIONS),
        MANY: partial(posting, topics, rounds, topics),
    }


MEASUREMENT = Measurement(
    name="posts",
    title="One-line posts to 1,000 topics with a reader each",
    text=(
        "Each of 1,000 runs has one subscriber. Producers post one line a request, each to the next "
        "run, and wait for the 201. So a flush has as many posts as there are producers: 50, or one "
        "for each run. The figure has the request, its commit and the delivery."
    ),
    parties=parties,
    targets=[
        Target(f"{FIGURE}: {FEW}", lambda turn: turn[FEW][FIGURE], most=120),
        Target(f"{FIGURE}: {MANY}", lambda turn: turn[MANY][FIGURE], most=120),
    ],
    plotted=[FIGURE],
)


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
