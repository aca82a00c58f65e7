"""Transcripts: a program's output as lines of a log, and its progress bars as progress.

A bar redraws itself with carriage returns; only its last state becomes a line. Several bars at once
(tqdm's `position`) move the cursor between their rows, so rows are kept while one of them is a bar.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

MAX_ROWS = 20
"""Rows kept for bars; with more rows, they are lines."""
MAX_ROW = 256 * 1024
"""Characters of a row without a line end; a longer row becomes a line."""

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
"""Colours, which stay in the lines."""
_PIECE = re.compile(
    r"\r\n|\n|\r|\x1b\[(\d*)A|\x1b\[[0-9;:?]*[ -/]*[@-Z\\-ln-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
_CUT = re.compile(r"\x1b(?:\[[0-9;:?]{0,64}[ -/]{0,8}|\][^\x07\x1b]{0,1024}\x1b?)?\Z")
"""An escape sequence that is not complete yet."""
_COUNT = re.compile(r"(?<![\d.:/])(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)(?![\d/:])")
_PERCENT = re.compile(r"(?<![\d.])(\d{1,3}(?:\.\d+)?)\s?%")


class Bar(NamedTuple):
    """The state of a progress bar."""

    current: float
    total: float
    message: str


class Transcript:
    """Takes text in pieces of any size; calls `line` with each line, `bar` with a bar's states."""

    def __init__(self, line: Callable[[str], None], bar: Callable[[Bar], None]) -> None:
        self._line = line
        self._bar = bar
        self._rows = [""]
        self._drawn = [False]
        """Which rows were redrawn, as only bars are."""
        self._at = 0
        self._rose = False
        """Whether the cursor went up, so that these rows belong together."""
        self._over = False
        """Whether what follows replaces the row, as after a carriage return or a move down."""
        self._drawing = False
        self._rest = ""
        self._shown: Bar | None = None

    def feed(self, text: str) -> None:
        text = self._rest + text
        self._rest = ""
        place = 0
        for piece in _PIECE.finditer(text):
            self._write(text[place : piece.start()])
            place = piece.end()
            self._control(piece[0], piece[1])
        rest = text[place:]
        cut = _CUT.search(rest)
        if cut is not None:
            rest, self._rest = rest[: cut.start()], cut[0]
        self._write(rest)
        self._show()

    def close(self) -> None:
        """The output has ended: the rows that remain are lines."""
        self._write(self._rest)
        self._rest = ""
        if self._rows != [""]:
            self._flush()

    def _control(self, piece: str, rows: str | None) -> None:
        if piece in ("\n", "\r\n"):
            self._over = self._drawing = False
            self._down()
        elif piece == "\r":
            self._over = self._drawing = True
        elif piece.endswith("A") and rows is not None:
            self._at = max(0, self._at - int(rows or 1))
            self._rose = True

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._over:
            if self._at and self._drawing and not self._rose and self._rows[self._at]:
                self._settle()
            self._rows[self._at] = ""
            self._drawn[self._at] = self._drawing
            self._over = self._drawing = False
        self._rows[self._at] += text
        if len(self._rows[self._at]) > MAX_ROW:
            self._flush()

    def _settle(self) -> None:
        """Only this row is being redrawn: the rows above belong to bars that are done."""
        above, self._rows = self._rows[: self._at], self._rows[self._at :]
        self._drawn = self._drawn[self._at :]
        self._at = 0
        for row in above:
            self._line(row.rstrip())

    def _down(self) -> None:
        if self._at + 1 < len(self._rows):
            self._at += 1
            self._over = True
        elif self._drawn[self._at] and (self._rose or self._at == 0) and self._at < MAX_ROWS:
            self._rows.append("")
            self._drawn.append(False)
            self._at += 1
        else:
            self._flush()

    def _flush(self) -> None:
        self._show()
        rows, drawn = self._rows, self._drawn
        self._rows, self._drawn, self._at, self._rose = [""], [False], 0, False
        if len(rows) == 1 and not drawn[0]:
            self._line(rows[0])
        else:
            for row in rows:
                if row.strip():
                    self._line(row.rstrip())

    def _show(self) -> None:
        """Call `bar` with the state of the outermost bar, if it is new."""
        for row, drawn in zip(self._rows, self._drawn, strict=True):
            found = _parsed(row) if drawn else None
            if found is not None:
                if found != self._shown:
                    self._shown = found
                    self._bar(found)
                return


def _parsed(text: str) -> Bar | None:
    """A row as a bar: `train:  45%|████     | 45/100 [00:12<00:15]`, `Epoch 3/10`, `12.5% done`."""
    text = _SGR.sub("", text)
    count = None
    for count in _COUNT.finditer(text):
        if float(count[1]) <= float(count[2]) and float(count[2]) > 0:
            break
    else:
        count = None
    percent = _PERCENT.search(text)
    first = min((found.start() for found in (count, percent) if found), default=0)
    message = text[:first].strip(" \t:|-[]()")[:200]
    if count is not None:
        return Bar(float(count[1]), float(count[2]), message)
    if percent is not None and float(percent[1]) <= 100:
        return Bar(float(percent[1]), 100.0, message)
    return None
