"""Escape sequences: output split into text and controls (ECMA-48, and xterm's "ctlseqs").

Titles, links and pictures (OSC, DCS, APC, PM and SOS strings) are dropped, whatever their length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_SEQUENCE = 256
"""Characters that are kept of a sequence that is not complete yet; more digits change nothing."""
MAX_STRING = 16 * 1024 * 1024
"""Characters of a picture that has no end. After them, output is text again."""
MAX_NUMBER = 9999
"""The largest number of a control; terminals limit it to their size."""

_TOKEN = re.compile(
    r"[\n\r\b\a]"
    r"|\x1b\[(?P<parameters>[0-?]*)(?P<between>[ -/]*)(?P<final>[@-~])"
    r"|\x1b(?P<string>[\]PX^_])"
    r"|\x1b[ -/]*(?P<short>[0-Z\\-~])"
)
_INCOMPLETE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)\Z")
# only a picture (DCS) may go on after a line feed; else an unfinished title would hide all output
_END_OF_TITLE = re.compile(r"[\a\x18\x1a\x9c]|\x1b\\?|(?=\n)")
_END_OF_PICTURE = re.compile(r"[\x18\x1a\x9c]|\x1b\\?")


class Control(NamedTuple):
    """A control character (`\\r`), a short escape sequence (`\\x1b7`), or a control sequence.

    A control sequence such as `\\x1b[31m` has its last character as its name, and parameters.
    """

    name: str
    parameters: str = ""

    def number(self, default: int = 1) -> int:
        """The first parameter; `default` if it is absent or 0."""
        digits = _NUMBER.match(self.parameters)
        return min(MAX_NUMBER, int(digits[0][:5])) or default if digits else default


_NUMBER = re.compile(r"\d+")


class Splitter:
    """Splits output that comes in pieces of any size."""

    def __init__(self) -> None:
        self._rest = ""
        self._string = ""
        """The character that began the string whose end has not come yet."""
        self._skipped = 0

    @property
    def is_between(self) -> bool:
        """Whether the next piece of the output begins inside a sequence."""
        return bool(self._rest or self._string)

    def split(self, text: str) -> Iterator[str | Control]:
        """The text and the controls in order."""
        text, self._rest = self._rest + text, ""
        place = 0
        while place < len(text):
            if self._string:
                place = self._skip_string(text, place)
                continue
            token = _TOKEN.search(text, place)
            if token is None:
                yield from self._last(text[place:])
                return
            if token.start() > place:
                yield text[place : token.start()]
            place = token.end()
            if token["string"]:
                self._string, self._skipped = token["string"], 0
            elif token["final"]:
                yield Control(token["between"] + token["final"], token["parameters"])
            else:
                yield Control(f"\x1b{token['short']}" if token["short"] else token[0])

    def rest(self) -> str:
        """At the end of the output: the text of a sequence that was not completed."""
        rest, self._rest = self._rest, ""
        return "" if self._string else rest

    def _last(self, text: str) -> Iterator[str]:
        """Text without a complete control."""
        cut = _INCOMPLETE.search(text)
        if cut is not None:
            text, self._rest = text[: cut.start()], cut[0][:MAX_SEQUENCE]
        if text:
            yield text

    def _skip_string(self, text: str, place: int) -> int:
        """Where the string ends in `text`, or the end of `text`."""
        pattern = _END_OF_PICTURE if self._string == "P" else _END_OF_TITLE
        end = pattern.search(text, place)
        if end is not None and end[0] == "\x1b" and end.end() == len(text):
            # perhaps the first half of the string's end
            self._rest = "\x1b"
            return len(text)
        self._skipped += len(text) - place
        if end is None and self._skipped < MAX_STRING:
            return len(text)
        self._string = ""
        if end is None:
            return len(text)
        # any other escape ends the string, and begins a sequence of its own
        return end.start() if end[0] == "\x1b" else end.end()
