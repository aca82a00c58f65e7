"""Programs in a pseudo-terminal: its size, its keys, and its output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

from .patience import PATIENCE


class Terminal:
    """A program in its own session and pseudo-terminal; `shown` is its whole output."""

    def __init__(
        self, command: list[str], folder: Path, environ: dict[str, str], rows: int = 24, columns: int = 80
    ) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(rows, columns)

        def own_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={"TERM": "xterm-256color", **_without_size(environ)},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=own_terminal,
        )
        os.close(theirs)
        self._data = b""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)
        os.close(self._ours)

    @property
    def shown(self) -> str:
        return self._data.decode("utf-8", "replace")

    def wait_for(self, text: str, timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while text not in self.shown:
            assert time.monotonic() < deadline, f"{text!r} is not in\n{self.shown[-3000:]}"
            time.sleep(0.01)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for its end and for the rest of its output; returns the exit code."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def type(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while select.select([self._ours], [], [])[0]:
                chunk = os.read(self._ours, 65536)
                if not chunk:
                    return
                self._data += chunk


def _without_size(environ: dict[str, str]) -> dict[str, str]:
    """pytest-xdist sets a width for its workers, which would override the terminal's."""
    return {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
