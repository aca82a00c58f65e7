"""Output for a terminal: sanitized text, colours, and a bar below the lines.

Text in logs may come from anyone (`protocol/safe_text.py`). Of all escape sequences, only colours
reach the terminal. Commands print by `echo` and `Screen`, and in no other way.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import unicodedata
from datetime import datetime

import click
import msgspec

from ..protocol.encoding import safe_json
from ..protocol.events import RunProgress
from ..protocol.safe_text import one_line, sanitized

COLOURS = {"debug": "bright_black", "warn": "yellow", "error": "red"}
STATUS_COLOURS = {"running": "cyan", "completed": "green", "failed": "red", "cancelled": "yellow"}

_CLEAR = "\r\x1b[K"
_CONTROL = re.compile("[\x00-\x1f]")


def echo(text: str, err: bool = False) -> None:
    """Print a line of text, whoever wrote parts of it."""
    click.echo(one_line(text), err=err)


def echo_own(text: str) -> None:
    """Print lines of this program's own, which may have colours."""
    click.echo(sanitized(text, colours=True))


def json_line(data: bytes) -> str:
    """A service's JSON on one line of safe text; its value is the same."""
    text = safe_json(data).decode("utf-8", "replace")
    # space between the tokens; in a string these are escaped, or it is no JSON
    return _CONTROL.sub(lambda found: " " if found[0] in "\r\n\t" else f"\\u{ord(found[0]):04x}", text)


def width_of(text: str) -> int:
    """The number of columns of `text`: a wide character has two, a combining one none."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def fit(text: str, width: int) -> str:
    """`text` in at most `width` columns; text that is cut ends with an ellipsis."""
    if width_of(text) <= width:
        return text
    kept, used = 0, 0
    for character in text:
        used += _columns(character)
        if used >= width:
            break
        kept += 1
    return text[:kept] + "…" if width > 0 else ""


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def is_number(value: object) -> bool:
    """Whether a result's value is a number; NaN and infinity are spelled as text."""
    if isinstance(value, bool):
        return False
    return isinstance(value, int | float) or value in ("NaN", "Infinity", "-Infinity")


def short(value: object, most: int = 200) -> str:
    """A JSON value on one line of sanitized text: a number with six digits, other values cut."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return one_line(text if len(text) <= most else f"{text[:most]}…")


def duration(seconds: float) -> str:
    """`seconds` as text: `0.4 s`, `42 s`, `3 min 2 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if minutes < 60:
        return f"{minutes} min {whole % 60} s"
    return f"{hours} h {minutes % 60} min" if hours < 24 else f"{days} d {hours % 24} h"


def seconds_between(begin: str, end: str | None) -> float:
    """Seconds from one of the service's timestamps to another, or to now; never below 0."""
    last = datetime.now().astimezone() if end is None else datetime.fromisoformat(end)
    return max(0.0, (last - datetime.fromisoformat(begin)).total_seconds())


def is_terminal() -> bool:
    """Whether stdout is a terminal that understands cursor movements."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") != "dumb"


class Bar:
    """A run's progress as one line of text."""

    def __init__(self, started_at: str | None = None, blocks: str = "█░") -> None:
        self.started_at = started_at
        """The service's timestamp of the run's start; None before it."""
        self._blocks = blocks
        self._newest: RunProgress | None = None
        self._first = self._last = (0.0, 0.0)
        """Monotonic seconds and `current`, of this bar's first progress and of its newest."""

    def move(self, progress: RunProgress) -> None:
        seen = (time.monotonic(), float(progress.current))
        before = self._newest
        if before is None or progress.total != before.total or progress.current < before.current:
            # a new bar, of another epoch for example
            self._first = seen
        self._last = seen
        self._newest = progress

    def line(self, width: int) -> str:
        """The bar in at most `width` columns, without colours."""
        parts = [self._elapsed()]
        progress = self._newest
        if progress is not None:
            left = self._left(progress)
            parts = [*parts, f"{duration(left)} left"] if left is not None else parts
        times = ", ".join(parts)
        if progress is None:
            return fit(times, width)
        message = " ".join(sanitized(progress.message or "").split())
        count = _count(progress)
        share = 0.0 if not progress.total else min(1.0, progress.current / progress.total)
        room = width - width_of(count) - width_of(times) - 4
        drawn = ""
        if progress.total and room >= 20:
            cells = min(30, room // 3)
            done = int(share * cells)
            drawn = f"{self._blocks[0] * done}{self._blocks[1] * (cells - done)} "
        # in a narrow terminal the message is cut first
        message = fit(message, max(0, room - len(drawn)))
        return fit(f"{message}{'  ' if message else ''}{drawn}{count}  {times}", width)

    def _elapsed(self) -> str:
        if self.started_at is None:
            return "pending"
        return f"{duration(int(seconds_between(self.started_at, None)))} elapsed"

    def _left(self, progress: RunProgress) -> float | None:
        """Seconds until the end at the pace so far; None if the pace or the total is unknown."""
        (begin, first), (at, last) = self._first, self._last
        if progress.total is None or last <= first or at <= begin:
            return None
        at_that_moment = (progress.total - last) * (at - begin) / (last - first)
        return max(0.0, at_that_moment - (time.monotonic() - at))


def _count(progress: RunProgress) -> str:
    current = f"{progress.current:.10g}"
    if not progress.total:
        return current
    share = min(1.0, progress.current / progress.total)
    if progress.total in (1, 100):
        return f"{share:4.0%}"
    return f"{share:4.0%} {current}/{progress.total:.10g}"


class Screen:
    """stdout: buffered lines, and on a terminal a bar below them."""

    BUFFER = 65536
    """Characters that are buffered at most before they are written."""

    def __init__(self) -> None:
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        self.is_terminal = is_terminal()
        self.colours = self.is_terminal and not os.environ.get("NO_COLOR")
        self._lines: list[str] = []
        self._size = 0
        self._drawn = ""
        self._bar: Bar | None = None

    @property
    def blocks(self) -> str:
        """The characters for the done and the remaining part of a bar, in stdout's encoding."""
        try:
            "█░".encode(sys.stdout.encoding)
        except UnicodeEncodeError:
            return "#."
        return "█░"

    def show_bar(self, bar: Bar, shown: bool = True) -> None:
        """Draw this bar from the next `flush` on, or none; only a terminal has one."""
        self._bar = bar if self.is_terminal and shown else None

    def style(self, text: str, colour: str | None = None, dim: bool = False) -> str:
        return click.style(text, fg=colour, dim=dim or None) if self.colours else text

    def write(self, line: str) -> None:
        """Add a line of sanitized text; it appears with the next `flush`."""
        self._lines.append(line)
        self._size += len(line)
        if self._size > self.BUFFER:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines, and redraw the bar if it has changed."""
        bar = "" if self._bar is None else self._bar.line(shutil.get_terminal_size().columns - 1)
        if not self._lines and bar == self._drawn:
            return
        lines = "".join(f"{line}\n" for line in self._lines)
        clear = _CLEAR if self._drawn else ""
        self._lines, self._size, self._drawn = [], 0, bar
        # one write, so that the bar does not flicker
        sys.stdout.write(clear + lines + (self.style(bar, dim=True) if bar else ""))
        sys.stdout.flush()

    def write_notice(self, text: str) -> None:
        """Write a line to stderr, above the bar."""
        self._clear()
        echo(f"athanor: {text}", err=True)
        self.flush()

    def close(self) -> None:
        """Write the buffered lines, and remove the bar."""
        self._bar = None
        self.flush()

    def _clear(self) -> None:
        bar, self._bar = self._bar, None
        self.flush()
        self._bar = bar
