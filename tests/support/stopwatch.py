"""Time that bounds can be set for on a busy machine."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path


class Stopwatch:
    """The seconds since it was made, without those that the machine gave to others.

    Linux counts how long each thread could have run and had no processor. The calling thread's
    share of that is left out, and that of the process's thread which waited longest. Where the
    system does not count it, this is a plain clock.
    """

    def __init__(self, pid: int) -> None:
        self._process = Path(f"/proc/{pid}/task")
        self._own = Path(f"/proc/self/task/{threading.get_native_id()}")
        self._began = time.monotonic()
        self._own_before = _waited(self._own)
        self._before = self._waits()
        self._longest = 0.0

    def elapsed(self) -> float:
        """To be called in the thread that made it."""
        waits = self._waits()
        longest = max((waits[name] - self._before.get(name, 0.0) for name in waits), default=0.0)
        # a thread that has ended is seen no more
        self._longest = max(self._longest, longest)
        own = _waited(self._own) - self._own_before
        return time.monotonic() - self._began - self._longest - own

    def _waits(self) -> dict[str, float]:
        with contextlib.suppress(OSError):
            return {thread.name: _waited(thread) for thread in self._process.iterdir()}
        return {}


def ends_within(process: subprocess.Popen[bytes], seconds: float) -> int:
    """The exit code of a process; fails if it takes longer by a stopwatch."""
    watch = Stopwatch(process.pid)
    while True:
        # before its end: afterwards the system has forgotten how long it waited
        elapsed = watch.elapsed()
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(0.05)
            assert elapsed < seconds, f"it ended after {elapsed:.1f} s"
            return code
        assert elapsed < seconds, f"it has not ended after {elapsed:.1f} s"


def _waited(thread: Path) -> float:
    """Seconds that a thread could have run and had no processor."""
    with contextlib.suppress(OSError, IndexError):
        return int((thread / "schedstat").read_text().split()[1]) / 1e9
    return 0.0
