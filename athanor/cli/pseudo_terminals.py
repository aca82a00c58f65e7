"""What a program writes to: a pseudo-terminal where our output is a terminal, otherwise a pipe."""

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
    """Two file descriptors: the program writes to `theirs`, and we read from `ours`."""

    theirs: int
    ours: int


class Channels:
    """The channels for stdout and stderr; on a terminal they share one, which keeps the order."""

    def __init__(self) -> None:
        self._sized: list[tuple[int, int]] = []
        out_is_terminal, err_is_terminal = (
            os.isatty(n) for n in (sys.stdout.fileno(), sys.stderr.fileno())
        )
        self.out = self._channel(out_is_terminal, sys.stdout.fileno())
        both = out_is_terminal and err_is_terminal
        self.err = self.out if both else self._channel(err_is_terminal, sys.stderr.fileno())

    def close_theirs(self) -> None:
        """Close our copies once the program has started, so that its exit ends the channels."""
        for channel in {self.out, self.err}:
            os.close(channel.theirs)

    def resize(self) -> None:
        """Give the program's terminals the size of ours."""
        for ours, real in self._sized:
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(real, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(ours, termios.TIOCSWINSZ, size)

    def _channel(self, is_terminal: bool, real: int) -> Channel:
        if not is_terminal:
            ours, theirs = os.pipe()
            return Channel(theirs, ours)
        ours, theirs = pty.openpty()
        # the real terminal translates line ends
        tty.setraw(theirs)
        self._sized.append((ours, real))
        self.resize()
        return Channel(theirs, ours)
