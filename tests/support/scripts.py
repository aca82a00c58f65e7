"""Producers' scripts, each in its own process and its own folder, as their authors run them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from .follower import wait_until
from .patience import PATIENCE
from .service import ROOT
from .stopwatch import Stopwatch


class Script:
    """The script `text` in `folder`, run with `ATHANOR_` settings."""

    def __init__(self, folder: Path, text: str, url: str = "", **settings: Any) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.spool = folder / ".athanor" / "spool"
        (folder / "script.py").write_text(textwrap.dedent(text))
        self._out, self._err = folder / "stdout", folder / "stderr"
        self.environ = environment(url, **settings)
        self.process: subprocess.Popen[str] | None = None

    def close(self) -> None:
        """Kill the process, if a test failed before it ended."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def start(self, before: Callable[[], None] | None = None) -> Script:
        """Start the script; `before` runs in its process first."""
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "script.py"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                text=True,
                preexec_fn=before,
            )
        return self

    def run(self, before: Callable[[], None] | None = None) -> int:
        """Start the script and wait for its end; returns the exit code."""
        return self.start(before).wait()

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def notices(self) -> list[str]:
        """The client's notices on stderr."""
        return [line for line in self.stderr.splitlines() if line.startswith("athanor: ")]

    @property
    def is_alive(self) -> bool:
        assert self.process is not None
        return self.process.poll() is None

    @property
    def spools(self) -> list[Path]:
        return sorted(self.spool.iterdir()) if self.spool.is_dir() else []

    def wait_for(self, text: str) -> None:
        """Wait until the script has printed `text`."""

        def printed() -> bool:
            if text in self.stdout:
                return True
            assert self.is_alive, f"it ended without {text!r}:\n{self.stderr}"
            return False

        wait_until(printed, f"{text!r} from the script")

    def send_line(self, text: str = "go") -> None:
        """Write a line to its stdin."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end; returns the exit code. Kills it and fails if it does not end."""
        assert self.process is not None
        watch = Stopwatch(self.process.pid)
        while watch.elapsed() < timeout:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.communicate(timeout=0.5)
                return self.process.returncode
        self.close()
        raise AssertionError(f"the script did not end:\n{self.stderr}")


class Scripts:
    """Makes scripts, each in its own folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Script] = []

    def __call__(self, text: str, url: str = "", **settings: Any) -> Script:
        folder = self._folder / f"script-{len(self._made)}"
        self._made.append(Script(folder, text, url, **settings))
        return self._made[-1]

    def close(self) -> None:
        for script in self._made:
            script.close()


@contextlib.contextmanager
def scripts_in(folder: Path) -> Iterator[Scripts]:
    """`Scripts` in that folder; those that still run are killed after the block."""
    with contextlib.closing(Scripts(folder)) as scripts:
        yield scripts


def environment(url: str = "", **settings: Any) -> dict[str, str]:
    """This process's environment, with these `ATHANOR_` settings and no others."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith("ATHANOR_")}
    environ |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "ATHANOR_QUIET": "1"}
    # frameworks would start a thread for each core in each of the processes that run in parallel
    environ["OMP_NUM_THREADS"] = "1"
    if url:
        environ["ATHANOR_URL"] = url
    return environ | {f"ATHANOR_{name.upper()}": str(value) for name, value in settings.items()}


def sync(folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run `athanor sync` in that folder."""
    return subprocess.run(
        [sys.executable, "-m", "athanor", "sync"],
        cwd=folder,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def messages(client: httpx.Client, run: str) -> list[str]:
    """All messages of a run, in order; checks that their `seq` is 1, 2, 3 …"""
    entries: list[dict[str, Any]] = []
    path: str | None = f"/runs/{run}/logs?limit=10000"
    while path:
        page = client.get(path).raise_for_status().json()
        entries += page["logs"]
        path = page["next"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    return [entry["message"] for entry in entries]


def numbers(client: httpx.Client, run: str) -> list[int]:
    """All messages of a run, as numbers."""
    return [int(message) for message in messages(client, run)]


def status(client: httpx.Client, run: str) -> str:
    return str(client.get(f"/runs/{run}").raise_for_status().json()["status"])


def has_started(client: httpx.Client, run: str) -> bool:
    """Whether there is such a run, and its producer has started it."""
    response = client.get(f"/runs/{run}")
    return response.status_code == 200 and response.json()["started_at"] is not None


def stored(client: httpx.Client, run: str) -> int:
    """The number of log entries that the run has; 0 if there is no such run yet."""
    response = client.get(f"/runs/{run}")
    return int(response.json()["log_count"]) if response.status_code == 200 else 0


def spooled_lines(path: Path) -> list[bytes]:
    """The entries in a spool, without its first two lines and its end."""
    _, _, *lines = path.read_bytes().splitlines()
    return [line for line in lines if re.match(rb'\{"type":', line)]


def free_port() -> int:
    """A port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
