"""JSON that is safe on any wire and on any screen: one line of valid UTF-8.

JSON escapes the C0 controls itself. What else is unsafe by `safe_text` is escaped too: U+0085, U+2028
and U+2029 end a line for some clients (Python's `splitlines`, httpx), though not in server-sent
events, U+FEFF is a byte order mark for others, and terminals obey C1 controls and the controls of
bidirectional text. A lone surrogate has no UTF-8 form and becomes U+FFFD.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from ..exceptions import InvalidInput

JSON_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What `decode_json` raises for a text that is not JSON, or not of the wanted type."""

T = TypeVar("T")
R = TypeVar("R")

_encoder = msgspec.json.Encoder()
# the UTF-8 of what `safe_text` calls unsafe, except C0 and surrogates, which are not in JSON's text
_UNSAFE = re.compile(
    rb"\x7f|\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]|\xef\xbb\xbf"
)
_LONE_SURROGATE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def encode(thing: Any) -> bytes:
    """Encode as one line of JSON; NaN and infinity become null. Raises `InvalidInput` for other
    values that JSON does not have.
    """
    try:
        data = _encoder.encode(thing)
    except UnicodeEncodeError:
        data = _encoder.encode(without_surrogates(msgspec.to_builtins(thing)))
    except (TypeError, RecursionError, OverflowError, ValueError) as error:
        raise InvalidInput(f"there is no JSON for this: {error}") from None
    return safe_json(data)


def encode_tails(objects: list[Any]) -> list[bytes]:
    """Encode objects as `encode` does, each without its opening brace.

    All of them in one pass: one by one, the calls would take longer than the work.
    """
    if not objects:
        return []
    try:
        lines = safe_json(_encoder.encode_lines(objects))
    except (UnicodeEncodeError, TypeError, RecursionError, OverflowError, ValueError):
        return [encode(thing)[1:] for thing in objects]
    # in JSON on one line, a line feed stands between two objects only
    return lines[1:-1].split(b"\n{")


def safe_json(data: bytes) -> bytes:
    """The same JSON, with unsafe characters as `\\uXXXX`."""
    if data.isascii() and b"\x7f" not in data:
        return data
    # a million of them take 0.3 s one by one
    for character in set(_UNSAFE.findall(data)):
        data = data.replace(character, b"\\u%04x" % ord(character.decode()))
    return data


def spelled(value: Any) -> Any:
    """The same lists and dicts with NaN and infinity as `"NaN"`, `"Infinity"` and `"-Infinity"`.

    JSON has no such numbers (RFC 8259, section 6); these are the names that ECMAScript gives them.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else _SPELLED[str(float(value))]
    if isinstance(value, dict):
        return {key: spelled(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    return value


_SPELLED = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def decode_json(decoder: msgspec.json.Decoder[T], text: bytes) -> T:
    """Decode JSON; a lone surrogate in it becomes U+FFFD. Raises `JSON_ERRORS`.

    msgspec refuses lone surrogates; Python's `json.dumps` and JavaScript's `JSON.stringify` may
    write them.
    """
    return _decoded(decoder.decode, text)


def decode_json_lines(decoder: msgspec.json.Decoder[T], text: bytes) -> list[T]:
    """Decode values that follow each other, as `decode_json` does one."""
    return _decoded(decoder.decode_lines, text)


def _decoded(decode: Callable[[bytes], R], text: bytes) -> R:
    try:
        return decode(text)
    except JSON_ERRORS:
        if rb"\ud" in text.lower():
            with contextlib.suppress(*JSON_ERRORS):
                return decode(_without_surrogate_escapes(text))
        raise


def _without_surrogate_escapes(text: bytes) -> bytes:
    """The same JSON with U+FFFD for the escape of each lone surrogate."""
    if b"\0" in text:
        # this is not JSON
        return text
    # an escaped backslash begins no escape: hide those; a NUL stands in no JSON
    hidden = text.replace(b"\\\\", b"\0\0")
    return _LONE_SURROGATE.sub(rb"\\ufffd", hidden).replace(b"\0\0", b"\\\\")


def without_surrogates(thing: Any) -> Any:
    """The same strings, lists and dicts with U+FFFD for each lone surrogate."""
    if isinstance(thing, str):
        return thing.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(thing, dict):
        return {without_surrogates(key): without_surrogates(thing[key]) for key in thing}
    if isinstance(thing, list | tuple):
        return [without_surrogates(item) for item in thing]
    return thing
