"""Points: results whose value is a number, or one of the three strings that mean one."""

from __future__ import annotations

import math

import msgspec

from .encoding import JSON_ERRORS

Number = int | float
Point = tuple[Number | None, float, Number]
"""A result's step (None without one), its time in seconds since the epoch, and its value."""

SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""JSON has no such numbers; these strings mean them (docs/protocol.md)."""
EXACT_DIGITS = 18
"""Integers of more digits count as doubles: they may not fit into 64 bits."""

_QUOTE, _COLON = b'":'
_TEXTS = {f'"{name}"'.encode(): value for name, value in SPELLED.items()}
_MOST_ESCAPED = 6 * len("-Infinity") + 2


def value_of(text: bytes) -> Number | None:
    """The number that a value's JSON text means; None if it means none.

    An integer that no double holds is an infinity.
    """
    first = text[0]
    if first == _QUOTE:
        value = _TEXTS.get(text)
        if value is None and b"\\" in text and len(text) <= _MOST_ESCAPED:
            return _unescaped(text)
        return value
    # signs and digits come before the colon; brackets and the letters of null, true and false do not
    if first >= _COLON:
        return None
    digits = text if text.isdigit() else text[1:]
    if len(digits) <= EXACT_DIGITS and digits.isdigit():
        return int(text)
    return float(text)


def _unescaped(text: bytes) -> Number | None:
    try:
        return SPELLED.get(msgspec.json.decode(text, type=str))
    except JSON_ERRORS:
        return None


def shown(value: Number) -> Number | str:
    """The value as JSON has it."""
    if math.isfinite(value):
        return value
    return name_of(value)


def name_of(value: Number) -> str:
    """The string that means a value that is not finite."""
    if value != value:
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
