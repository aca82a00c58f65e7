"""Lines delivered per CPU second of the service: 1,000 subscribers, 1,000 lines per second."""

from __future__ import annotations

import json
import re
import selectors
import socket
import statistics
import threading
import time

import httpx

from tests.support.service import Service, new_run

from .harness import Figures, cpu_seconds, report, service_alone

SUBSCRIBERS = 1000
SECONDS = 10
BATCH, PAUSE = 100, 0.1


class Producer(threading.Thread):
    """Posts a batch every 100 ms; each message begins with the time at which it was sent."""

    def __init__(self, service: Service, run: str) -> None:
        super().__init__()
        self.client: httpx.Client = service.client()
        self.path = f"/runs/{run}/logs"

    def run(self) -> None:
        due = time.monotonic()
        for _ in range(int(SECONDS / PAUSE)):
            line = json.dumps({"message": f"at {time.time():.6f} loss 0.1234 accuracy 0.9876"})
            body = "\n".join([line] * BATCH)
            headers = {"Content-Type": "application/x-ndjson"}
            self.client.post(self.path, content=body, headers=headers).raise_for_status()
            due += PAUSE
            time.sleep(max(0.0, due - time.monotonic()))


def measure() -> Figures:
    with service_alone() as service:
        run = new_run(service.client())
        selector = selectors.DefaultSelector()
        request = f"GET /events/experiments:run:{run} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        for _ in range(SUBSCRIBERS):
            connection = socket.create_connection(("127.0.0.1", service.port))
            connection.sendall(request)
            while b"athanor\n\n" not in connection.recv(4096):
                pass
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        sample = next(iter(selector.get_map().values())).fileobj
        delivered, latencies = 0, []
        goal = SUBSCRIBERS * int(SECONDS / PAUSE) * BATCH
        producer = Producer(service, run)
        cpu = cpu_seconds(service)
        producer.start()
        deadline = time.monotonic() + 3 * SECONDS
        while delivered < goal and time.monotonic() < deadline:
            for key, _ in selector.select(1):
                assert isinstance(key.fileobj, socket.socket)
                chunk = key.fileobj.recv(1 << 20)
                delivered += chunk.count(b'"seq":')
                if key.fileobj is sample:
                    sent = re.findall(rb'"at (\d+\.\d+)', chunk)
                    latencies += [time.time() - float(at) for at in sent[:1]]
        cpu = cpu_seconds(service) - cpu
        producer.join()
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        assert delivered == goal
        return {
            "lines delivered": delivered,
            "CPU seconds of the service": cpu,
            "lines delivered per CPU second": delivered / cpu,
            "from post to reader, median ms": 1000 * statistics.median(latencies),
            "from post to reader, slowest of 100, ms": 1000 * max(latencies),
        }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
