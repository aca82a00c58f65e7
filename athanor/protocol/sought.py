"""What a search looks for in a log entry: a text in what one sees of it, and the stream it came from.

One sees the message without its escape sequences, and the JSON text of the metadata. The case of
ASCII letters does not matter.

To decode an entry takes longer than the database takes to compare text. So `conditions` gives what
every match fulfils, and `matches` decides.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from .encoding import decode_json, encode, without_surrogates
from .raw import NULL, is_null, is_object, readable
from .safe_text import without_sequences

ESCAPE = "!"
"""The character of a pattern before a `%` or `_` that means itself."""
ANY_ESCAPE, ESC = "%\\u%", "\\u001b"
"""The pattern of JSON with an escape by a code, and the escape that begins escape sequences."""


class Condition(NamedTuple):
    """What the JSON of every match fulfils; `patterns` are those of SQL's LIKE.

    It is like one of `patterns`; or it has an escape by a code, and is like one of `interrupted`, or
    has such an escape of another character than ESC. The case of ASCII letters does not matter:
    patterns have those of lower case.
    """

    patterns: list[str]
    interrupted: list[str]


class _Line(msgspec.Struct):
    message: str
    metadata: msgspec.Raw = NULL


class _Metadata(msgspec.Struct):
    stream: msgspec.Raw = NULL


_line = msgspec.json.Decoder(_Line)
_metadata = msgspec.json.Decoder(_Metadata)
_string = msgspec.json.Decoder(str)


class Sought:
    """`text` is anywhere, `stream` is the metadata's field of that name; an empty one is not sought."""

    def __init__(self, text: str, stream: str) -> None:
        self._text, self._stream = without_surrogates(text), without_surrogates(stream)
        self._in_message = _lower(self._text)
        # somebody may look for a part of the JSON, or for what a string in it says
        self._in_metadata = {self._in_message, msgspec.json.encode(self._text)[1:-1].lower()}

    @property
    def conditions(self) -> list[Condition]:
        """All of them are fulfilled."""
        conditions = []
        if self._text:
            texts = {_escaped(self._text), *(text.decode() for text in self._in_metadata)}
            patterns = [f"%{_pattern(text)}%" for text in sorted(texts)]
            conditions.append(Condition(patterns, self._interrupted))
        if self._stream:
            value = msgspec.json.encode(self._stream).lower().decode()
            field = _pattern(f'"stream":{value}')
            conditions.append(Condition([f"%{field}%"], []))
        return conditions

    @property
    def _interrupted(self) -> list[str]:
        """Patterns of the text with escape sequences inside: what is before the first one is whole."""
        whole = [f"%{_pattern(_escaped(self._text[:length]))}{ESC}%" for length in (1, 2)]
        longer = f"%{_pattern(_escaped(self._text[:3]))}%{ESC}%"
        return [*whole, longer][: len(self._text) - 1]

    def matches(self, data: bytes) -> bool:
        """Whether it is in an entry, given as JSON."""
        line = decode_json(_line, data)
        if self._stream and _stream_of(line.metadata) != self._stream:
            return False
        if not self._text or self._in_message in _seen(line.message):
            return True
        if is_null(line.metadata):
            return False
        metadata = readable(bytes(line.metadata)).lower()
        return any(text in metadata for text in self._in_metadata)


def _seen(message: str) -> bytes:
    if "\x1b" in message:
        message = without_sequences(message)
    return _lower(message)


def _lower(text: str) -> bytes:
    # of ASCII letters only; `str.lower` knows all others
    return text.encode().lower()


def _escaped(text: str) -> str:
    """The text inside JSON as messages are stored, in lower case."""
    return encode(text)[1:-1].lower().decode()


def _stream_of(metadata: msgspec.Raw) -> str | None:
    if not is_object(metadata):
        return None
    stream = decode_json(_metadata, bytes(metadata)).stream
    return decode_json(_string, bytes(stream)) if bytes(stream)[:1] == b'"' else None


def _pattern(text: str) -> str:
    for special in (ESCAPE, "%", "_"):
        text = text.replace(special, ESCAPE + special)
    # JSON may have a backslash before it
    return text.replace("/", "%/")
