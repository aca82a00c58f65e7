"""Where a program's output goes: to a terminal of its own if ours is one, so that it behaves the same."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import sys
import termios
import tty
from typing import NamedTuple


class Channel(NamedTuple):
    """What the program writes to, and what we read from, as file descriptors."""

    theirs: int
    ours: int


class Terminals:
    """A channel for stdout and one for stderr; one for both, which keeps their order, on a terminal."""

    def __init__(self) -> None:
        self._sized: list[tuple[int, int]] = []
        out_is_terminal, err_is_terminal = (
            os.isatty(n) for n in (sys.stdout.fileno(), sys.stderr.fileno())
        )
        self.out = self._channel(out_is_terminal, sys.stdout.fileno())
        both = out_is_terminal and err_is_terminal
        self.err = self.out if both else self._channel(err_is_terminal, sys.stderr.fileno())

    def close_theirs(self) -> None:
        """Once the program has them; their end is then the program's."""
        for channel in {self.out, self.err}:
            os.close(channel.theirs)

    def resize(self) -> None:
        """Make the program's terminals as large as ours."""
        for ours, real in self._sized:
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(real, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(ours, termios.TIOCSWINSZ, size)

    def _channel(self, is_terminal: bool, real: int) -> Channel:
        if not is_terminal:
            ours, theirs = os.pipe()
            return Channel(theirs, ours)
        ours, theirs = pty.openpty()
        tty.setraw(theirs)  # line ends are the real terminal's affair
        self._sized.append((ours, real))
        self.resize()
        return Channel(theirs, ours)
