"""Bars on the script's terminal, as tqdm draws them: one row for each loop, outermost first."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Protocol

from ..protocol.safe_text import one_line

INTERVAL = 0.1
"""Seconds between two redraws."""
_BLOCKS = "▏▎▍▌▋▊▉█"


class Loop(Protocol):
    """The part of a loop that a row shows."""

    message: str | None
    total: float | None
    current: int


class TerminalBars:
    """The rows of the loops that are under way; silent where stderr is no terminal.

    The cursor rests in the first row. `sys.__stderr__` is not captured, so that the bars do not
    become log entries.
    """

    def __init__(self, is_wanted: bool) -> None:
        stream = sys.__stderr__
        self.is_shown = False
        with contextlib.suppress(Exception):
            is_terminal = stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
            self.is_shown = is_wanted and is_terminal and "ipykernel" not in sys.modules
        self._began: dict[int, float] = {}
        self._drawn_at = 0.0
        self._rows = 0

    def begin(self, loop: Loop) -> None:
        """The loop has begun, inside those that are under way."""
        if self.is_shown:
            self._began[id(loop)] = time.monotonic()
            self._drawn_at = 0.0

    def show(self, loops: Sequence[Loop]) -> None:
        """Redraw the rows, if the interval is over."""
        if self.is_shown and time.monotonic() - self._drawn_at >= INTERVAL:
            self._draw(loops)

    def end(self, loop: Loop, outer: Sequence[Loop]) -> None:
        """The loop has ended: the row of an inner one vanishes, that of the outermost stays."""
        if not self.is_shown or self._began.get(id(loop)) is None:
            return
        if outer:
            self._draw(outer)
        else:
            self._draw([loop])
            self._write("\n")
            self._rows = 0
        self._began.pop(id(loop), None)

    def _draw(self, loops: Sequence[Loop]) -> None:
        self._drawn_at = time.monotonic()
        width = shutil.get_terminal_size().columns - 1
        rows = [self._row(loop, width) for loop in loops]
        rows += [""] * (self._rows - len(rows))
        self._rows = len(loops)
        drawn = "\n".join(f"\r{row}\x1b[K" for row in rows)
        self._write(drawn + (f"\x1b[{len(rows) - 1}A" if len(rows) > 1 else ""))

    def _row(self, loop: Loop, width: int) -> str:
        seconds = max(1e-9, time.monotonic() - self._began.get(id(loop), self._drawn_at))
        rate = loop.current / seconds
        speed = f"{rate:.2f}it/s" if rate >= 1 or not rate else f"{1 / rate:.2f}s/it"
        label = f"{one_line(loop.message)}: " if loop.message else ""
        if not loop.total:
            return f"{label}{loop.current}it [{_clock(seconds)}, {speed}]"[:width]
        share = min(1.0, loop.current / loop.total)
        left = _clock((loop.total - loop.current) / rate) if rate else "?"
        head = f"{label}{share:4.0%}|"
        tail = f"| {loop.current}/{loop.total:g} [{_clock(seconds)}<{left}, {speed}]"
        return f"{head}{_bar(share, width - len(head) - len(tail))}{tail}"[:width]

    def _write(self, text: str) -> None:
        # RuntimeError: a signal handler interrupted a write to the same stream
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            assert sys.__stderr__ is not None
            sys.__stderr__.write(text)
            sys.__stderr__.flush()


def _bar(share: float, width: int) -> str:
    """A bar of `width` columns, in eighths of a column."""
    if width <= 0:
        return ""
    try:
        _BLOCKS.encode(getattr(sys.__stderr__, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return ("#" * int(share * width)).ljust(width)
    eighths = int(share * width * 8)
    full, part = divmod(eighths, 8)
    return (_BLOCKS[-1] * full + (_BLOCKS[part - 1] if part else "")).ljust(width)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
