"""JSON that stays text. What clients send as metadata, configuration or value is never decoded.

Objects made of JSON take up to thirty times its memory, and some numbers take 10 µs each to decode.
So such JSON is checked and brought onto one line, and is stored and sent as it is.
"""

from __future__ import annotations

import math
import re
from functools import cache
from typing import Any

import msgspec

from ..exceptions import Fault, InvalidInput, TooLarge
from .bounds import MAX_DEPTH, MAX_OBJECT
from .encoding import decode_json

NULL: msgspec.Raw = msgspec.Raw(b"null")
EMPTY: msgspec.Raw = msgspec.Raw(b"{}")
_STRING = r'"(?:[^"\\]++|\\.)*+"'
# most values: ASCII without white space and large exponents; nothing else has to be checked in short ones
_PLAIN = re.compile(rb"(?:[!-DF-df-~]++|[eE](?!\+?[0-9]{3}))*+")
_STRINGS = re.compile(_STRING.encode(), re.DOTALL)
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
# a number of double precision is below 1.8e308: with an exponent of two digits, or none, it needs 200
# digits before the point to reach that
_LARGE_EXPONENT = re.compile(rb"[eE]\+?0*+[0-9]{3}")
_FLAT = 8
"""Levels of JSON that is not deep."""
_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_MANY_DIGITS = b"0" * 200
# a number is tried at its first digit only, else a long one would take time by the square of its length
_LARGE = re.compile(
    rb"(?<![0-9.])[0-9]++(?:\.[0-9]++)?[eE]\+?[0-9]{2,}+"
    rb"|(?<![0-9.])[0-9]{200,}+(?=[.eE])(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
)
# 4,300 characters of an integer are the most that Python and msgspec decode
_LONG = re.compile(rb"(?<![0-9.eE+-])(?:-[0-9]{4300}|[0-9]{4301})[0-9]*+(?![.eE])")

MOST_BLANK = 4
"""A JSON text may have so many times the bytes that it has on one line."""

_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)


def one_line(raw: msgspec.Raw, path: str, line: int = 1) -> msgspec.Raw:
    """The same JSON without white space between its parts; `raw` is syntactically valid.

    Raises `InvalidInput`, with `path` and `line`, if it is not UTF-8, is nested more than `MAX_DEPTH`
    deep, or has a number that has no double-precision form.
    """
    data = bytes(raw)
    if len(data) <= 2 * MAX_DEPTH and _PLAIN.fullmatch(data):
        return raw
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            raise _invalid("this is not UTF-8", path, line) from None
    if b" " in data or b"\n" in data or b"\t" in data or b"\r" in data:
        data = msgspec.json.format(data, indent=-1)
    # each level has two brackets
    is_long = len(data) > 2 * MAX_DEPTH
    if is_long and data.count(b"[") + data.count(b"{") > MAX_DEPTH and _is_deep(data):
        raise _invalid(f"this is nested too deeply: {MAX_DEPTH} levels at most", path, line)
    if _may_be_out_of_range(data) and _is_out_of_range(data):
        raise _invalid("Number out of range", path, line)
    return msgspec.Raw(data) if len(data) < size_of(raw) else raw


def object_of(raw: msgspec.Raw, path: str, before: int = 0) -> msgspec.Raw:
    """A configuration or metadata, on one line.

    Raises `InvalidInput` if it is no object, or what `one_line` raises, and `TooLarge` for more than
    `MAX_OBJECT` bytes, unless it gets smaller: it had `before` bytes.
    """
    if not is_object(raw):
        raise _invalid("Expected `object`", path, 1)
    if size_of(raw) > MOST_BLANK * MAX_OBJECT:
        bounded(raw, path)
    # a copy: `raw` may be a part of a larger body, and is kept
    return bounded(msgspec.Raw(bytes(one_line(raw, path))), path, before)


def bounded(raw: msgspec.Raw, path: str, before: int = 0) -> msgspec.Raw:
    """`raw`, if it may be a configuration or metadata. Raises `TooLarge` as `object_of` does."""
    size = size_of(raw)
    if size > max(MAX_OBJECT, before - 1):
        detail = (
            f"{path} would have {size} bytes of JSON, and {MAX_OBJECT} is the most; "
            "store large values as results or log entries"
        )
        raise TooLarge(detail, [{"line": 1, "path": path, "detail": detail}])
    return raw


def is_object(raw: msgspec.Raw) -> bool:
    return bytes(memoryview(raw)[:1]) == b"{"


def is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"


def readable(data: bytes) -> bytes:
    """The same JSON without escapes of characters that JSON can have as they are."""
    if b"\\u" in data or b"\\/" in data:
        return _STRINGS.sub(_readable_string, data)
    return data


def _readable_string(found: re.Match[bytes]) -> bytes:
    string = found[0]
    return msgspec.json.encode(decode_json(_string, string)) if b"\\" in string else string


def size_of(raw: msgspec.Raw) -> int:
    """Its bytes."""
    return memoryview(raw).nbytes


def object_with(fields: dict[str, Any]) -> msgspec.Raw:
    """An object of JSON texts and other values."""
    return msgspec.Raw(msgspec.json.encode(fields))


def fields_of(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The fields of an object."""
    return _fields.decode(raw)


def merged(target: msgspec.Raw, patch: msgspec.Raw) -> msgspec.Raw:
    """`patch` merged into `target` (RFC 7396)."""
    if not is_object(patch):
        return patch
    fields = fields_of(target) if is_object(target) else {}
    for key, value in fields_of(patch).items():
        if bytes(value) == b"null":
            fields.pop(key, None)
        else:
            fields[key] = merged(fields.get(key, NULL), value)
    return object_with(fields)


def same(one: msgspec.Raw, other: msgspec.Raw) -> bool:
    """Whether two texts on one line are the same JSON, in whatever order their fields are."""
    if one == other:
        return True
    if not (is_object(one) and is_object(other)):
        return False
    left, right = fields_of(one), fields_of(other)
    return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)


@cache
def nested() -> re.Pattern[bytes]:
    """Matches an array or an object, at most `MAX_DEPTH` deep, in time proportional to its length.

    Strings are skipped; nothing else is checked.
    """
    # possessive, so that a failure is final; the next level stands inside the level around it
    level = rf'[\[{{](?:[^"\[\]{{}}]++|{_STRING})*+[\]}}]'
    for _ in range(MAX_DEPTH - 1):
        level = rf'[\[{{](?:[^"\[\]{{}}]++|{_STRING}|{level})*+[\]}}]'
    return re.compile(level.encode(), re.DOTALL)


def _is_deep(data: bytes) -> bool:
    """Whether arrays and objects are more than `MAX_DEPTH` deep."""
    brackets = left = _without_strings(data).translate(None, _NO_BRACKETS)
    # most JSON is flat, and a level is removed faster than the pattern runs
    for _ in range(_FLAT):
        left = left.replace(b"[]", b"").replace(b"{}", b"")
        if not left:
            return False
    return not nested().fullmatch(brackets)


def _may_be_out_of_range(data: bytes) -> bool:
    """A fast answer, which is right if it is false."""
    exponent = (b"e" in data or b"E" in data) and _LARGE_EXPONENT.search(data)
    return bool(exponent) or (len(data) >= 200 and _MANY_DIGITS in data.translate(_DIGITS))


def _is_out_of_range(data: bytes) -> bool:
    """Whether there is a number that has no double-precision form, or a very long integer."""
    numbers = _without_strings(data)
    return bool(_LONG.search(numbers)) or not all(map(math.isfinite, map(float, _LARGE.findall(numbers))))


def _without_strings(data: bytes) -> bytes:
    return _STRINGS.sub(b"", data) if b'"' in data else data


def _invalid(detail: str, path: str, line: int) -> InvalidInput:
    fault: Fault = {"line": line, "path": path, "detail": detail}
    return InvalidInput(f"{path}: {detail}", [fault])
