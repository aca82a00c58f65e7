"""Memory of an idle stream: the growth of the service's resident set by 2,000 of them."""

from __future__ import annotations

import socket

from tests.support.follower import wait_until
from tests.support.service import new_run

from .harness import Figures, report, rss_kib, service_alone

STREAMS = 2000


def measure() -> Figures:
    with service_alone() as service:
        client = service.client()
        run = new_run(client)
        agent = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)"
        headers = f"Host: localhost\r\nAccept: text/event-stream\r\n{agent}"
        request = f"GET /events/experiments:run:{run} HTTP/1.1\r\n{headers}\r\n\r\n".encode()
        before = rss_kib(service)
        streams = []
        for _ in range(STREAMS):
            stream = socket.create_connection(("127.0.0.1", service.port))
            stream.sendall(request)
            streams.append(stream)
        for stream in streams:
            while b"athanor\n\n" not in stream.recv(4096):
                pass
        count = f"athanor_subscribers {STREAMS}.0"
        wait_until(lambda: count in client.get("/metrics").text, "the streams")
        grown = rss_kib(service) - before
        for stream in streams:
            stream.close()
        return {"KiB per idle stream": grown / STREAMS}


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
