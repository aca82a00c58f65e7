"""The screen: the rows of an output that may still change, and the cursor."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import datetime

from .bar import Bar, end_of_bar
from .escapes import Control
from .row import Row
from .style import changed

MAX_ROWS = 20
"""Rows that are kept because they may be redrawn."""
MAX_ROW = 256 * 1024
"""Characters of a row without a line end; a longer row becomes a line."""
MAX_STYLE = 100
"""Characters of the parameters of a colour; a longer one is ignored."""
SETTLED_AFTER = 5.0
"""Seconds after which a row that is no bar, among others that are redrawn, becomes a line."""

Line = Callable[[str, datetime | None], None]
"""Gets a line, and when it was written: None means now."""
Show = Callable[[list[Bar]], None]
"""Gets the states of the bars on show, outermost first."""


class Screen:
    """The rows that may still change, and the cursor.

    `_above` are the rows before them, which are lines already. `_column` None means: after the last
    character of the row.
    """

    def __init__(self, line: Line, bars: Show) -> None:
        self._line = line
        self._bars = bars
        self._shown: list[Bar] = []
        self._rows = [Row()]
        self._above: deque[Row] = deque(maxlen=MAX_ROWS)
        self._at = 0
        self._column: int | None = None
        self._style = ""
        self._rose = False
        """Whether the cursor went up, so that these rows belong together."""
        self._hidden = False
        """Whether the cursor is hidden, as by displays of several rows."""
        self._saved: tuple[int, int | None] = (0, None)

    @property
    def is_plain(self) -> bool:
        """Whether text without controls is just lines."""
        return (
            len(self._rows) == 1
            and self._column is None
            and not (self._rose or self._hidden or self._style or self._row.drawn)
        )

    def write_plain(self, text: str) -> None:
        """Write text without controls but line feeds, where that `is_plain`."""
        first, feed, rest = text.partition("\n")
        self.write(first)
        if not feed:
            return
        self.newline()
        *lines, last = rest.split("\n")
        for line in lines:
            self._line(line, None)
        for line in lines[-MAX_ROWS:]:
            self._above.append(_line_row(line))
        self.write(last)

    def write(self, text: str) -> None:
        """Write text without controls at the cursor."""
        if not text:
            return
        row = self._row
        if self._column is None:
            row.append(text, self._style)
        else:
            self._begin_overwriting(row)
            self._column = row.write(self._column, text, self._style)
        if self._rose or self._hidden or row.drawn:
            row.touch()
        if row.length > MAX_ROW:
            self.close()

    def control(self, control: Control) -> None:
        """Do what a control says; those that do not move, erase or colour are ignored."""
        act = _ACTS.get(control.name)
        if act is not None:
            act(self, control)

    def show_bars(self) -> None:
        """Report the bars on show, if one has changed."""
        found = (row.bar() for row in self._rows if row.drawn or self._hidden)
        bars = [bar for bar in found if bar is not None]
        if bars and bars != self._shown:
            self._shown = bars
            self._bars(bars)

    def settle_old(self) -> None:
        """Make lines of rows that no redraw has reached for a while, bars excepted."""
        if len(self._rows) == 1:
            return
        now = time.time()
        for row in self._rows:
            if row.at and now - row.at.timestamp() > SETTLED_AFTER and row.bar() is None:
                self._store(row)

    def close(self) -> None:
        """Make lines of all rows, and begin with an empty one."""
        self.show_bars()
        rows = self._rows
        self._rows, self._at, self._column, self._rose = [Row()], 0, None, False
        for row in rows:
            self._settle(row)

    # rows

    @property
    def _row(self) -> Row:
        return self._rows[self._at]

    def _begin_overwriting(self, row: Row) -> None:
        """The cursor was moved back in this row, or came back to it."""
        if self._column == 0:
            if self._at and row.drawn and not self._rose:
                # only this row is redrawn: the rows above belong to bars that are done
                self._settle_above()
            if not row.is_blank:
                is_bar = (row.drawn or self._hidden) and row.bar() is not None
                row.is_kept = not is_bar and (self._rose or row.stored is not None)
        row.drawn = True

    def newline(self, _: Control | None = None) -> None:
        row = self._row
        if self._keeps(row):
            self._down()
        else:
            self.show_bars()
            self._settle_above()
            self._store(row)
            self._above.append(self._rows.pop(0))
            if not self._rows:
                self._rows, self._rose = [Row()], False
        self._column = 0 if self._row.length else None

    def _keeps(self, row: Row) -> bool:
        """Whether the row stays, because it may be redrawn; it becomes a line if it does not."""
        if row.is_blank:
            return bool(self._at or row.drawn or len(self._rows) > 1)
        bar = row.bar() if row.drawn or self._hidden else None
        if bar is None:
            return row.is_kept
        if end_of_bar(row.text()) < len(row.text().rstrip()):
            # something else was printed after the bar
            return False
        if bar.is_complete:
            self._store(row)
            return self._at > 0
        return True

    def _down(self) -> None:
        self._at += 1
        if self._at == len(self._rows):
            self._rows.append(Row())
        if len(self._rows) > MAX_ROWS:
            self._settle(self._rows.pop(0))
            self._at -= 1

    def _up(self, count: int) -> None:
        self._rose = True
        for _ in range(count - self._at):
            if not self._above or len(self._rows) >= MAX_ROWS:
                break
            self._rows.insert(0, self._above.pop())
            self._at += 1
        self._at = max(0, self._at - count)

    def _settle_above(self) -> None:
        """The rows above the cursor are done."""
        for _ in range(self._at):
            self._settle(self._rows.pop(0))
        self._at = 0

    def _settle(self, row: Row) -> None:
        """The row is done; an empty one is no line."""
        if not row.is_blank:
            self._store(row)
        self._above.append(row)

    def _store(self, row: Row) -> None:
        """Make a line of a row, unless one was made of the same text, or of the same bar."""
        text = row.text()
        bar = row.bar() if row.drawn or self._hidden else None
        if text == row.stored or (bar is not None and bar == row.stored_bar):
            return
        if bar is not None and (end := end_of_bar(text)) < len(text):
            # the bar goes on in another row, unless it is complete
            if bar.is_complete:
                self._line(text[:end], row.at)
            text = text[end:]
        row.stored, row.stored_bar = text, bar
        self._line(text, row.at)

    # controls

    def carriage_return(self, _: Control) -> None:
        self._column = 0

    def backspace(self, _: Control) -> None:
        self._column = max(0, self._place() - 1)

    def left(self, control: Control) -> None:
        self._column = max(0, self._place() - control.number())

    def right(self, control: Control) -> None:
        self._column = self._place() + control.number()

    def to_column(self, control: Control) -> None:
        self._column = control.number() - 1

    def rise(self, control: Control) -> None:
        self._column = self._place()
        self._up(control.number())

    def sink(self, control: Control) -> None:
        self._column = self._place()
        # what lies below the last row was never written
        self._at = min(self._at + control.number(), len(self._rows) - 1)

    def to_next_line(self, control: Control) -> None:
        self.sink(control)
        self._column = 0

    def to_previous_line(self, control: Control) -> None:
        self._up(control.number())
        self._column = 0

    def erase_line(self, control: Control) -> None:
        part, place, row = control.number(0), self._place(), self._row
        if part == 0 and place >= row.width:
            # nothing is there; `grep --color` does this after each colour
            return
        self._column = 0
        self._begin_overwriting(row)
        self._column = place
        row.erase(place if part == 0 else 0, place + 1 if part == 1 else None, self._style)

    def erase_display(self, control: Control) -> None:
        if control.number(0):
            # the whole screen: what was on it stays in the log
            self.close()
            return
        self.erase_line(control)
        for row in self._rows[self._at + 1 :]:
            row.drawn = True
            row.erase(0, None, "")

    def clear(self, _: Control) -> None:
        self.close()

    def colour(self, control: Control) -> None:
        # with another first character it is xterm's own, and no terminal knows such numbers
        if control.parameters.startswith(("<", "=", ">", "?")) or len(control.parameters) > MAX_STYLE:
            return
        self._style = changed(self._style, control.parameters)
        if self._column is None:
            self._row.append_style(control.parameters)

    def show_cursor(self, control: Control) -> None:
        if control.parameters != "?25":
            return
        if self._hidden and self._at == len(self._rows) - 1 and self._row.is_blank:
            # the display has ended below its last row
            self.close()
        self._hidden = False

    def hide_cursor(self, control: Control) -> None:
        self._hidden = self._hidden or control.parameters == "?25"

    def save(self, _: Control) -> None:
        self._saved = (self._at, self._place())

    def restore(self, _: Control) -> None:
        at, self._column = self._saved
        self._at = min(at, len(self._rows) - 1)

    def _place(self) -> int:
        return self._row.width if self._column is None else self._column


def _line_row(line: str) -> Row:
    row = Row()
    row.append(line, "")
    row.stored = line
    return row


_ACTS: dict[str, Callable[[Screen, Control], None]] = {
    "\n": Screen.newline,
    "\r": Screen.carriage_return,
    "\b": Screen.backspace,
    "A": Screen.rise,
    "B": Screen.sink,
    "C": Screen.right,
    "D": Screen.left,
    "E": Screen.to_next_line,
    "F": Screen.to_previous_line,
    "G": Screen.to_column,
    "H": Screen.clear,
    "J": Screen.erase_display,
    "K": Screen.erase_line,
    "`": Screen.to_column,
    "f": Screen.clear,
    "h": Screen.show_cursor,
    "l": Screen.hide_cursor,
    "m": Screen.colour,
    "s": Screen.save,
    "u": Screen.restore,
    "\x1b7": Screen.save,
    "\x1b8": Screen.restore,
    "\x1bc": Screen.clear,
}
