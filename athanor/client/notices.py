"""Notices: single lines on stderr about what the author of a script should know."""

from __future__ import annotations

import contextlib
import sys
import threading


class Notices:
    """Writes the first notice of each kind and drops the later ones. Never raises."""

    def __init__(self) -> None:
        self._shown: set[str] = set()
        self._lock = threading.Lock()

    def show(self, kind: str, text: str) -> None:
        with self._lock:
            if kind in self._shown:
                return
            self._shown.add(kind)
        write_notice(text)

    def after_fork(self) -> None:
        """In the child: replace the lock, for another thread of the parent may have held it."""
        self._lock = threading.Lock()

    def was_shown(self, kind: str) -> bool:
        return kind in self._shown


def write_notice(text: str) -> None:
    """Write to the process's own stderr, for `sys.stderr` may be captured into a run's log."""
    if sys.__stderr__ is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.write(f"athanor: {text}\n")
            sys.__stderr__.flush()
