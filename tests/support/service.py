"""The service as its users meet it: a process of its own, on a real port, on a real file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from . import plain
from .patience import PATIENCE
from .stopwatch import ends_within

ROOT = Path(__file__).parent.parent.parent


class Service:
    """`program`, by default `app.py`, on a database in `folder`.

    It may be killed and started again on its port. `host` is where it listens, and `prefix` the
    command that starts it there.
    """

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        prefix: tuple[str, ...] = (),
        program: Path = ROOT / "app.py",
        **settings: Any,
    ) -> None:
        self.folder = folder
        self.program = program
        self.host = host
        self.prefix = prefix
        self.database = folder / "athanor.db"
        self.log = folder / "service.log"
        self.port = 0
        self.settings = settings
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []

    def environment(self) -> dict[str, str]:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("ATHANOR_")}
        environ["ATHANOR_DATABASE_URL"] = f"sqlite:///{self.database}"
        environ["ATHANOR_HOST"] = self.host
        environ["ATHANOR_PORT"] = str(self.port)
        environ["PYTHONPATH"] = str(ROOT)
        environ |= {f"ATHANOR_{name.upper()}": str(value) for name, value in self.settings.items()}
        return environ

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start a process; its output is appended to the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.prefix, sys.executable, str(self.program)],
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def start(self) -> Service:
        """Start, and wait until it answers."""
        begin = self.log.stat().st_size if self.log.exists() else 0
        self.process = self.spawn()
        return self.await_ready(begin)

    def await_ready(self, begin: int = 0) -> Service:
        """Until the process that was spawned answers; its log begins at `begin`."""
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            text = self.log.read_bytes()[begin:].decode()
            found = re.search(rf"running on http://{re.escape(self.host)}:(\d+)", text)
            if found:
                self.port = int(found[1])
                return self
            if self.process.poll() is not None:
                raise AssertionError(f"the service did not start:\n{text}")
            time.sleep(0.01)
        raise AssertionError("the service did not start in time")

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def client(self, **options: Any) -> httpx.Client:
        """A client of this service, closed with it."""
        client = plain.client(base_url=self.url, **options)
        self._clients.append(client)
        return client

    def trouble(self) -> str | None:
        """What /readyz complains about."""
        answer = plain.get(f"{self.url}/readyz")
        return None if answer.status_code == 200 else str(answer.json()["detail"])

    def kill(self) -> None:
        """`kill -9`: no goodbye."""
        self._end(signal.SIGKILL)

    def terminate(self, timeout: float = PATIENCE) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def _end(self, number: int, timeout: float = PATIENCE) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return ends_within(self.process, timeout)

    def close_clients(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()

    def close(self) -> None:
        self.close_clients()
        if self.process is not None and self.process.poll() is None:
            try:
                self.terminate(10)
            except AssertionError:
                self.kill()


@contextlib.contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Service]:
    service = Service(folder, **settings)
    try:
        yield service.start()
    finally:
        service.close()


def new_run(client: httpx.Client, start: bool = True) -> str:
    """A run of an instance of its own; its id."""
    instance = client.post("/instances", json={"name": "test"}).raise_for_status().json()
    run = client.post(f"/instances/{instance['id']}/runs").raise_for_status().json()
    if start:
        client.post(f"/runs/{run['id']}/start").raise_for_status()
    return str(run["id"])


def metric(service: Service, name: str) -> float:
    """The value of a metric that has no labels."""
    text = plain.get(f"{service.url}/metrics").text
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def lines_in(event: dict[str, Any]) -> list[dict[str, Any]]:
    """The log entries an event's data brings."""
    if event["type"] == "run_log":
        return [event["log"]]
    return list(event["logs"]) if event["type"] == "run_logs" else []
