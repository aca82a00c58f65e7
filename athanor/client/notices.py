"""Notices: one line on stderr for what a researcher should know, each said once."""

from __future__ import annotations

import contextlib
import sys
import threading


class Notices:
    """What was said of one kind is not said again; what can't be said is left unsaid."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def say(self, kind: str, text: str) -> None:
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        tell(text)

    def after_fork(self) -> None:
        """In the child: a lock that another thread held would never be released."""
        self._lock = threading.Lock()

    def was_said(self, kind: str) -> bool:
        return kind in self._said


def tell(text: str) -> None:
    """To the process's own stderr, for `sys.stderr` may be captured into a run's log."""
    if sys.__stderr__ is not None:
        with contextlib.suppress(OSError, ValueError):
            sys.__stderr__.write(f"athanor: {text}\n")
            sys.__stderr__.flush()
