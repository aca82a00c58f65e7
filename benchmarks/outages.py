"""Seconds from PostgreSQL answering again until every node is ready, with lines coming all the time."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cluster import NODES, Cluster
from tests.follower import wait_until
from tests.postgres import new_server
from tests.service import Service, new_run

from .harness import Figures, report

AWAY = 1.0
"""Seconds that it stays away, at least."""


def is_ready(node: Service) -> bool:
    return httpx.get(f"{node.url}/readyz").status_code == 200


class Producer(threading.Thread):
    """Posts a line at a time to one node, whether it is taken or not."""

    def __init__(self, node: Service, run: str) -> None:
        super().__init__()
        self.done = threading.Event()
        self._url = f"{node.url}/runs/{run}/logs"

    def run(self) -> None:
        with httpx.Client(timeout=2, headers={"Prefer": "respond-async"}) as client:
            for number in itertools.count():
                with contextlib.suppress(httpx.TransportError):
                    client.post(self._url, json={"message": str(number)})
                if self.done.wait(0.02):
                    return


def measure() -> Figures:
    figures: Figures = {}
    with (
        new_server() as server,
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Cluster.on(Path(folder), f"{server.url}/postgres")) as cluster,
    ):
        cluster.start()
        run = new_run(cluster.nodes[0].client())
        producers = [Producer(node, run) for node in cluster.nodes]
        for producer in producers:
            producer.start()

        def ready_after(come_back: Callable[[], object]) -> float:
            for node in cluster.nodes:
                wait_until(lambda: not is_ready(node), "a complaint")  # noqa: B023
            time.sleep(AWAY)
            come_back()
            there = time.perf_counter()
            for node in cluster.nodes:
                wait_until(lambda: is_ready(node), "readiness")  # noqa: B023
            return time.perf_counter() - there

        for name, crash in (("a restart", False), ("a crash", True)):
            server.stop(crash)
            figures[f"{NODES} nodes ready behind {name}, s"] = ready_after(server.start)
        for producer in producers:
            producer.done.set()
            producer.join()
    return figures


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure, 5)
