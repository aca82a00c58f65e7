"""A wake-up call that may come from anywhere: a signal handler, a destructor, another thread."""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue


class Wake:
    """As `threading.Event`, but `set` may interrupt itself.

    An `Event` has a lock. A signal handler, or a destructor that the garbage collector runs, may
    call `set` inside `set`, and would wait for that lock forever. `SimpleQueue.put` is reentrant
    (Python's documentation of `queue`). One thread waits, and clears before it looks for work.
    """

    __slots__ = ("_is_set", "_tokens")

    def __init__(self) -> None:
        self._is_set = False
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        if not self._is_set:
            self._is_set = True
            self._tokens.put(None)

    def wait(self, timeout: float) -> bool:
        """Wait for `set`, `timeout` seconds at most; whether it was called. May return too early."""
        if self._is_set:
            return True
        with contextlib.suppress(Empty):
            self._tokens.get(timeout=max(0.0, timeout))
        return self._is_set

    def clear(self) -> None:
        self._is_set = False
        with contextlib.suppress(Empty):
            while True:
                self._tokens.get_nowait()
