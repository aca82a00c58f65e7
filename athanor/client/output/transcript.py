"""Transcripts: a program's output as lines of a log, and its progress bars as progress.

A row becomes a line when the program leaves it. A row that redraws itself (a bar, a table that
follows something) becomes one when it is done; the states before are not stored. What a program
prints between its bars becomes a line at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from .escapes import Control, Splitter
from .screen import MAX_ROW, Line, Screen, Show


class Transcript:
    """Takes text in pieces of any size. `feed` never raises.

    `line` gets each line, `bars` the states of the bars on show, outermost first, whenever they
    change. `on_error` gets an error in reading the output, once; all that follows is plain lines.
    """

    def __init__(self, line: Line, bars: Show, on_error: Callable[[Exception], None]) -> None:
        self._line = line
        self._on_error = on_error
        self._splitter = Splitter()
        self._screen = Screen(line, bars)
        self._partial: str | None = None
        """The line that has not ended yet, once there was an error."""

    def feed(self, text: str) -> None:
        """Read a piece of the output."""
        if self._partial is not None:
            self._feed_plain(text)
            return
        try:
            self._read(text)
        except Exception as error:
            self._fall_back(error, text)

    def close(self) -> None:
        """The output has ended: the rows that remain are lines."""
        if self._partial is None:
            try:
                self._screen.write(self._splitter.rest())
                self._screen.close()
            except Exception as error:
                self._fall_back(error, "")
        if self._partial:
            self._line(self._partial, None)
            self._partial = ""

    def _read(self, text: str) -> None:
        is_text = not (self._splitter.is_between or _has_controls(text))
        if is_text and self._screen.is_plain:
            self._screen.write_plain(text)
            return
        for piece in self._splitter.split(text):
            if isinstance(piece, Control):
                self._screen.control(piece)
            else:
                self._screen.write(piece)
        self._screen.settle_old()
        self._screen.show_bars()

    def _fall_back(self, error: Exception, text: str) -> None:
        self._partial = ""
        self._on_error(error)
        with contextlib.suppress(Exception):
            self._screen.close()
        self._feed_plain(text)

    def _feed_plain(self, text: str) -> None:
        *lines, self._partial = f"{self._partial}{text}".split("\n")
        for line in lines:
            self._line(line.removesuffix("\r"), None)
        if len(self._partial) > MAX_ROW:
            self._line(self._partial, None)
            self._partial = ""


def _has_controls(text: str) -> bool:
    return any(control in text for control in ("\x1b", "\r", "\b", "\a"))
