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
MAX_DOUBLE = math.nextafter(math.inf, 0)
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
    if first < _COLON and first != _QUOTE:
        number = float(text)
        # few numbers are whole, and fewer have the form of integers
        if number.is_integer():
            digits = text.lstrip(b"-")
            if digits.isdigit() and len(digits) <= EXACT_DIGITS:
                return int(text)
        return number
    if first == _QUOTE:
        value = _TEXTS.get(text)
        if value is None and b"\\" in text and len(text) <= _MOST_ESCAPED:
            return _unescaped(text)
        return value
    return None


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
