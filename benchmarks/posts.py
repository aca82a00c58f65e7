"""One-line posts to 1,000 topics with a reader each: CPU of the service for each post and delivery."""

from __future__ import annotations

import selectors
import socket

from tests.support.service import Service, new_run

from .harness import Figures, cpu_seconds, report, service_alone

TOPICS = 1000
CONNECTIONS = 50
ROUNDS = 10

BODY = b'{"message": "epoch 3 batch 17 loss 0.1234 accuracy 0.9876"}'


def measure() -> Figures:
    with service_alone() as service:
        client = service.client()
        runs = [new_run(client) for _ in range(TOPICS)]
        posting = selectors.DefaultSelector()
        reading = [_reader(service, run) for run in runs]
        producers = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(CONNECTIONS)]
        heads = [
            f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(BODY)}\r\n\r\n".encode()
            for run in runs
        ]
        work = [head + BODY for head in heads] * ROUNDS
        for producer in producers:
            posting.register(producer, selectors.EVENT_READ)
        cpu = cpu_seconds(service)
        for producer in producers:
            producer.sendall(work.pop())
        waiting = len(producers)
        while waiting:
            for key, _ in posting.select():
                assert isinstance(key.fileobj, socket.socket)
                # head and body are two writes
                if not key.fileobj.recv(65536).endswith(b"}"):
                    continue
                waiting -= 1
                if work:
                    key.fileobj.sendall(work.pop())
                    waiting += 1
        delivered = sum(_lines_of(reader) for reader in reading)
        cpu = cpu_seconds(service) - cpu
        for connection in (*producers, *reading):
            connection.close()
        assert delivered == TOPICS * ROUNDS
        return {"CPU of a post and its delivery, µs": 1e6 * cpu / delivered}


def _reader(service: Service, run: str) -> socket.socket:
    reader = socket.create_connection(("127.0.0.1", service.port))
    reader.sendall(f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    while b"athanor\n\n" not in reader.recv(4096):
        pass
    return reader


def _lines_of(reader: socket.socket) -> int:
    """The lines that a reader has got; it gets one in each round."""
    lines = 0
    while lines < ROUNDS:
        lines += reader.recv(65536).count(b'"seq":')
    return lines


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
