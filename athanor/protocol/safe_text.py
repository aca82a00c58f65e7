"""Text that is safe to show, whoever wrote it: on a terminal, in a log, as plain text over HTTP.

It must not move the cursor, forge lines, change the window's title or the clipboard, or reverse the
reading direction. Unsafe are: the C0 controls except tab and line feed, DEL, the C1 controls, the
other ends of a line (U+2028, U+2029), the marks, embeddings, overrides and isolates of bidirectional
text, the byte order mark, and lone surrogates, which no encoding has. Characters that show nothing
and move nothing (U+200B to U+200D, of which emoji and Persian are made) are left as they are.
"""

from __future__ import annotations

import re

_RESET = "\x1b[0m"
# attributes that colour or emphasise; not 8, which hides text, and no fonts or frames
_INDEXED = r"[34]8[;:]5[;:]\d{1,3}|[34]8[;:]2(?:[;:]\d{0,3}){3,4}"
_ATTRIBUTE = rf"(?:{_INDEXED}|0{{0,2}}[0-79]|2[1-79]|3[0-79]|4[0-79]|9[0-7]|10[0-7]|)"
_SGR = re.compile(rf"\x1b\[{_ATTRIBUTE}(?:;{_ATTRIBUTE}){{0,15}}m")
_SEQUENCE = re.compile(
    # CSI: the cursor, the screen, modes
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    # OSC, DCS, SOS, PM, APC: titles, links, the clipboard, queries
    r"|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    # character sets
    r"|\x1b[ -/]+[0-~]"
)
# also what a terminal takes for a short sequence, and the beginning of one that does not end
_ANY_SEQUENCE = re.compile(rf"{_SEQUENCE.pattern}|\x1b[ -/]*[0-~]?")
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


def sanitized(text: str, colours: bool = False) -> str:
    """`text` without escape sequences, and with other unsafe characters made visible, as `\\x07`.

    With `colours`, SGR colours stay, and are reset at the end of their line. Line feeds and tabs
    stay.
    """
    text = text.replace("\r\n", "\n")
    if _UNSAFE.search(text) is None:
        return text
    return "\n".join(_sanitized_line(line, colours) for line in text.split("\n"))


def one_line(text: str) -> str:
    """The same on one line, without colours: a line feed is shown as `\\n`."""
    return sanitized(text).replace("\n", "\\n")


def without_sequences(text: str) -> str:
    """`text` as a terminal or the page shows it: without escape sequences, complete or not."""
    return _ANY_SEQUENCE.sub("", text)


def visible(text: str) -> str:
    """`text` with every unsafe character made visible, escape sequences too: nothing is left out."""
    return _UNSAFE.sub(_shown, text.replace("\r\n", "\n"))


def _sanitized_line(line: str, colours: bool) -> str:
    if not colours:
        return _without_sequences(line)
    parts: list[str] = []
    place = 0
    for colour in _SGR.finditer(line):
        parts += (_without_sequences(line[place : colour.start()]), colour[0])
        place = colour.end()
    reset = _RESET if parts else ""
    return "".join((*parts, _without_sequences(line[place:]), reset))


def _without_sequences(text: str) -> str:
    return _UNSAFE.sub(_shown, _SEQUENCE.sub("", text))


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
