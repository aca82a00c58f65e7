"""Cursors: the `id:` of a stored event, from which a stream is resumed."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..exceptions import InvalidQuery

_CURSOR = re.compile(r"(?:([0-9a-f]{6})-)?([0-9]{1,19})", re.ASCII)


class Cursor(NamedTuple):
    """`epoch` names the database (six hex digits; empty for `0`), `n` the event."""

    epoch: str
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.n}" if self.epoch else str(self.n)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read `{epoch}-{n}`, or `0` for the beginning. Raises `InvalidQuery` for anything else."""
        match = _CURSOR.fullmatch(text)
        if match is None or (match[1] is None and match[2] != "0"):
            raise InvalidQuery(
                f"{text[:100]!r} is no cursor: give the id of an event, as in 3f09ac-1042, "
                "or 0 for everything from the beginning"
            )
        return cls(match[1] or "", int(match[2]))
