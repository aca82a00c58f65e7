"""Python's tracebacks, found among the lines of an output: their level is error."""

from __future__ import annotations

import re

from ...protocol.records import Level

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_BEGIN = re.compile(
    r'[ |+-]*(?:Exception Group )?Traceback \(most recent call last\):|  File ".+", line \d+$'
)
_BETWEEN = (
    "The above exception was the direct cause of the following exception:",
    "During handling of the above exception, another exception occurred:",
)


class Tracebacks:
    """The levels of one stream's lines: error in a traceback, its exception included; else info."""

    def __init__(self) -> None:
        self._inside = False
        self.has_begun = False
        """Whether the last line began a traceback that no other one led to."""

    def level(self, line: str) -> Level:
        """The level of the next line."""
        text = _SGR.sub("", line)
        self.has_begun = False
        if self._inside:
            # the exception is the first line that is not indented
            self._inside = text[:1] in (" ", "\t", "")
            return "error"
        self._inside = _BEGIN.match(text) is not None
        self.has_begun = self._inside
        return "error" if self._inside or text in _BETWEEN else "info"
