"""Seconds until every node is ready after PostgreSQL has returned, while lines are posted.

The same after the link between a node and PostgreSQL was cut, if this process may create networks.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from tests.support import network
from tests.support.cluster import NODES, Cluster, on_hosts
from tests.support.follower import wait_until
from tests.support.postgres import new_server
from tests.support.service import Service, new_run

from .harness import Figures, report

AWAY, CUT = 1.0, 10.0
"""Seconds from the last node's first error to the return of the server, and of the link."""


class Producer(threading.Thread):
    """Posts single lines to one node, whether they are accepted or not."""

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


@contextlib.contextmanager
def under_load(nodes: list[Service]) -> Iterator[None]:
    run = new_run(nodes[0].client())
    producers = [Producer(node, run) for node in nodes]
    for producer in producers:
        producer.start()
    try:
        yield
    finally:
        for producer in producers:
            producer.done.set()
            producer.join()


def ready_after(nodes: list[Service], away: float, come_back: Callable[[], object]) -> float:
    """Seconds from `come_back`, called `away` seconds after the last error, until all are ready."""
    for node in nodes:
        wait_until(node.trouble, "an error in /readyz")
    time.sleep(away)
    come_back()
    back = time.perf_counter()
    for node in nodes:
        wait_until(lambda: node.trouble() is None, "readiness")  # noqa: B023
    return time.perf_counter() - back


def measure() -> Figures:
    figures: Figures = {}
    with (
        new_server() as server,
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Cluster.on(Path(folder), f"{server.url}/postgres")) as cluster,
    ):
        cluster.start()
        with under_load(cluster.nodes):
            for name, crash in (("a restart", False), ("a crash", True)):
                server.stop(crash)
                seconds = ready_after(cluster.nodes, AWAY, server.start)
                figures[f"{NODES} nodes ready after {name}, s"] = seconds
    if network.is_possible():
        with (
            tempfile.TemporaryDirectory() as folder,
            on_hosts(Path(folder)) as (cluster, hosts),
            under_load(cluster.nodes),
        ):
            hosts[0].cut()
            seconds = ready_after(cluster.nodes[:1], CUT, hosts[0].mend)
            figures["a node ready after a cut of its link, s"] = seconds
    return figures


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure, 5)
