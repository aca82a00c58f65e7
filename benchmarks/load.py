"""Readers in a process of their own, and the programs of `peers/`."""

from __future__ import annotations

import atexit
import select
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from types import TracebackType

PEERS = Path(__file__).parent / "peers"
PATIENCE = 120.0
"""Seconds after which readers that do not get what they await have failed."""


@cache
def folder() -> Path:
    """A temporary folder, removed at the end of this process."""
    made = Path(tempfile.mkdtemp(prefix="athanor-bench-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def program(name: str) -> list[str]:
    """The command of a program in `peers/`: compiled where there is a C compiler, else in Python."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    made = folder() / name
    if compiler and not subprocess.call([compiler, "-O2", "-o", str(made), str(PEERS / f"{name}.c")]):
        return [str(made)]
    return [sys.executable, str(PEERS / f"{name}.py")]


def is_compiled(name: str) -> bool:
    return program(name)[0] != sys.executable


class Load:
    """`count` readers of one server, which send `requests` in turns.

    Each is ready after it has received `ready`; an empty text means at once.
    """

    def __init__(self, port: int, count: int, requests: list[str], ready: str) -> None:
        file = folder() / f"requests-{port}-{time.monotonic_ns()}"
        file.write_bytes(b"".join(request.encode() + b"\0" for request in requests))
        command = [*program("load"), "127.0.0.1", str(port), str(count), str(file), ready]
        self.count = count
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Load:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def open(self) -> None:
        """Connect all readers, and wait until they are ready."""
        self._write("go")
        assert self._read() == "ready"

    def begin(self, marks: int, each: int = 1) -> None:
        """Await this many marks of all readers together, since they connected."""
        self._write(f"await {marks} {each}")

    def end(self) -> int:
        """Wait until they have come; the bytes received until now."""
        return int(self._read())

    def _write(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        self.process.stdin.flush()

    def _read(self) -> str:
        """The next line; the pipe has one at a time."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{self.count} readers did not get everything within {PATIENCE:g} s")
        line = self.process.stdout.readline().decode().strip()
        if not line:
            raise RuntimeError(f"the readers ended with exit code {self.process.wait()}")
        return line
