"""A row of a terminal: text that is appended, or cells once something is overwritten."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime

from .bar import Bar, bar_in
from .style import RESET, changed, sequence

MAX_COLUMN = 1000
"""Columns that a control can move the cursor to, beyond the end of a row."""

Cell = tuple[str, str]
"""The style and the character of one column; the second column of a wide character is empty."""


class Row:
    """Text with the styles in it, and what is known of it.

    `drawn`: something was overwritten, as bars do. `is_kept`: it is no bar, but a part of a display
    that redraws itself. `stored`: the line that was made of it already. `at`: when it was written,
    None for a row that becomes a line at once.
    """

    __slots__ = ("_bar", "_cells", "_has_bar", "_parts", "_style", "at", "drawn", "is_kept", "length",
                 "stored", "stored_bar")  # fmt: skip

    def __init__(self) -> None:
        self._style = ""
        self._parts: list[str] = []
        self._cells: list[Cell] | None = None
        self.length = 0
        self.drawn = self.is_kept = False
        self.stored: str | None = None
        self.stored_bar: Bar | None = None
        self.at: datetime | None = None
        self._bar: Bar | None = None
        self._has_bar = True

    def append(self, text: str, style: str) -> None:
        """Write after the last character."""
        if self._cells is None:
            if not self.length:
                self._style, self._parts = style, []
            self._parts.append(text)
            self.length += len(text)
        else:
            self._put(len(self._cells), text, style)
        self._has_bar = False

    def append_style(self, parameters: str) -> None:
        """A change of style after the last character."""
        if self._cells is None:
            self._parts.append(f"\x1b[{parameters}m")

    def write(self, column: int, text: str, style: str) -> int:
        """Write over what stands from `column` on; returns the column after the text."""
        self._cells = self.cells()
        column = self._put(column, text, style)
        self._has_bar = False
        return column

    def erase(self, first: int, last: int | None, style: str) -> None:
        """Make the columns from `first` up to `last`, or to the row's end, blank."""
        cells = self._cells = self.cells()
        if last is None:
            del cells[first:]
        else:
            for column in range(first, min(last, len(cells))):
                cells[column] = (style, " ")
        self.length = len(cells)
        self._has_bar = False

    def cells(self) -> list[Cell]:
        """The row by columns."""
        return self._cells if self._cells is not None else _cells_of("".join(self._parts), self._style)

    @property
    def width(self) -> int:
        return len(self.cells())

    @property
    def is_blank(self) -> bool:
        return not self.length or not self.text().strip()

    def text(self) -> str:
        """The row with its styles, which begin and end in it; without blanks at the end if drawn."""
        if not self.length:
            return ""
        if self._cells is None:
            return _enclosed("".join(self._parts), self._style)
        return _text_of(self._cells)

    def bar(self) -> Bar | None:
        """The bar in the row."""
        if not self._has_bar:
            self._bar, self._has_bar = bar_in(self.text()), True
        return self._bar

    def touch(self) -> None:
        """Note that the row was written now."""
        self.at = datetime.now(UTC)

    def _put(self, column: int, text: str, style: str) -> int:
        cells = self._cells
        assert cells is not None
        column = min(column, max(len(cells), MAX_COLUMN))
        if len(cells) < column:
            cells += [("", " ")] * (column - len(cells))
        new = [(style, character) for character in text] if text.isascii() else _wide(text, style)
        cells[column : column + len(new)] = new
        self.length = len(cells)
        return column + len(new)


def _wide(text: str, style: str) -> list[Cell]:
    cells: list[Cell] = []
    for character in text:
        if cells and unicodedata.combining(character):
            cells[-1] = (style, cells[-1][1] + character)
            continue
        cells.append((style, character))
        if unicodedata.east_asian_width(character) in "WF":
            cells.append((style, ""))
    return cells


def _cells_of(text: str, style: str) -> list[Cell]:
    cells: list[Cell] = []
    for number, piece in enumerate(text.split("\x1b[")):
        if number:
            parameters, _, piece = piece.partition("m")
            style = changed(style, parameters)
        cells += _wide(piece, style)
    return cells


def _text_of(cells: list[Cell]) -> str:
    parts: list[str] = []
    before = ""
    end = len(cells)
    while end and cells[end - 1][1].isspace():
        end -= 1
    for style, character in cells[:end]:
        if style != before:
            parts += (RESET if before else "", sequence(style))
            before = style
        parts.append(character)
    return "".join((*parts, RESET if before else ""))


def _enclosed(text: str, style: str) -> str:
    """Appended text with the style in which it begins, and with the end of the one in which it ends."""
    end = style
    for piece in text.split("\x1b[")[1:]:
        end = changed(end, piece.partition("m")[0])
    return f"{sequence(style)}{text}{RESET if end else ''}"
