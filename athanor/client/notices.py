"""Notices: single lines on stderr about what the author of a script should know."""

from __future__ import annotations

import contextlib
import sys

from ..protocol.safe_text import one_line


class Notices:
    """Writes the first notice of each kind and drops the later ones. Never raises."""

    def __init__(self) -> None:
        self._shown: dict[str, object] = {}

    def show(self, kind: str, text: str) -> None:
        # `setdefault` is atomic: no lock, which a signal handler could wait for forever
        mine = object()
        if self._shown.setdefault(kind, mine) is mine:
            write_notice(text)

    def was_shown(self, kind: str) -> bool:
        return kind in self._shown


def write_notice(text: str) -> None:
    """Write a line to the process's own stderr: `sys.stderr` may be captured into a run's log."""
    if sys.__stderr__ is not None:
        # RuntimeError: a signal handler interrupted a write to the same stream
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            sys.__stderr__.write(f"athanor: {one_line(text)}\n")
            sys.__stderr__.flush()
