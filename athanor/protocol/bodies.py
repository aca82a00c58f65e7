"""Bodies of reports, read in parts: an object, an array, one object a line (NDJSON), or plain text.

The JSON in them is checked, and not decoded (`raw`). A large body is read a part at a time, so that
its reader may do something else between two parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ..exceptions import Fault, InvalidInput
from .bounds import MAX_DEPTH, MAX_ENTRY
from .encoding import JSON_ERRORS, decode_json, decode_json_lines
from .entries import LogInput, ProgressInput, RawLogInput, RawResultInput, Report, too_large
from .faults import fault_of, moved
from .raw import nested

MAX_FAULTS = 20
"""An error lists at most this many faults of a body, the first ones."""
PART = 64 * 1024
"""Bytes of a part, or one entry if it has more; a body up to that size is one part."""

PART_LINES = 4000
"""Lines of text in a part; a body of more lines is several parts, however small it is."""

_BLANK = re.compile(rb"[ \t\r\n]*+")


class ReportReader:
    """Reads bodies of one kind of report."""

    def __init__(self, type_: Any) -> None:
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type_)
        self._array: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[type_])

    def parts(self, body: bytes, ndjson: bool) -> Iterator[list[Report]]:
        """The reports in `body`, in order.

        Raises `InvalidInput`, which lists line and path of faults, and `TooLarge`.
        """
        start = body.lstrip()[:1] if body[:1].isspace() else body[:1]
        if not start:
            raise InvalidInput("the body is empty")
        if len(body) <= PART:
            yield self._read(body, ndjson, start)
        elif ndjson:
            yield from self._lines(body)
        elif start == b"[":
            yield from self._items(body)
        else:
            yield from self._object_or_lines(body, start)

    def _read(self, body: bytes, ndjson: bool, start: bytes) -> list[Any]:
        if ndjson:
            return self._read_lines(body, 1)
        in_array = start == b"["
        try:
            return decode_json(self._array, body) if in_array else [decode_json(self._one, body)]
        except JSON_ERRORS as error:
            # several objects are NDJSON, whatever the content type says
            if start == b"{" and _is_followed(error):
                return self._read_lines(body, 1)
            raise _invalid({"line": 1, **fault_of(error, in_array)}) from None

    def _object_or_lines(self, body: bytes, start: bytes) -> Iterator[list[Report]]:
        try:
            yield [decode_json(self._one, body[: MAX_ENTRY + 1])]
        except JSON_ERRORS as error:
            if start == b"{" and _is_followed(error):
                yield from self._lines(body)
            elif len(body) > MAX_ENTRY and _is_cut(error):
                raise too_large(1) from None
            else:
                raise _invalid({"line": 1, **fault_of(error)}) from None
        else:
            if body[MAX_ENTRY + 1 :].strip():
                raise too_large(1)

    def _lines(self, body: bytes) -> Iterator[list[Report]]:
        line = 1
        faults: list[Fault] = []
        for text in _cut(body, b"\n{"):
            if len(text) > MAX_ENTRY:
                raise too_large(line)
            reports: list[Any] = []
            try:
                reports = self._read_lines(text, line)
            except InvalidInput as error:
                faults += error.faults
            if len(faults) >= MAX_FAULTS:
                break
            # the parts after a fault are read for further faults only
            yield [] if faults else reports
            line += text.count(b"\n")
        if faults:
            raise _invalid_lines(faults[:MAX_FAULTS])

    def _read_lines(self, text: bytes, line: int) -> list[Any]:
        """The objects in a text that begins at the line of that number."""
        try:
            return decode_json_lines(self._one, text)
        except JSON_ERRORS:
            return self._read_line_by_line(text, line)

    def _read_line_by_line(self, body: bytes, first: int) -> list[Any]:
        reports: list[Any] = []
        faults: list[Fault] = []
        for number, text in enumerate(body.split(b"\n"), first):
            if not text.strip():
                continue
            try:
                reports.append(decode_json(self._one, text))
            except JSON_ERRORS as error:
                faults.append({"line": number, **fault_of(error)})
                if len(faults) == MAX_FAULTS:
                    break
        if faults:
            raise _invalid_lines(faults)
        return reports

    def _items(self, body: bytes) -> Iterator[list[Report]]:
        """Cut an array into arrays of whole items."""
        item, place, count, more = nested(), body.index(b"[") + 1, 0, True
        place = _after_blank(body, place)
        if body[place : place + 1] == b"]":
            yield []
            place, more = place + 1, False
        while more:
            start, items = place, 0
            while more and place - start < PART:
                place = _after_blank(body, place)
                found = item.match(body, place, place + MAX_ENTRY + 1)
                if found is None or found.end() - place > MAX_ENTRY:
                    raise self._fault_at(body, place, count + items)
                end = _after_blank(body, found.end())
                if body[end : end + 1] not in (b",", b"]"):
                    raise self._fault_at(body, place, count + items)
                more = body[end] == ord(",")
                items += 1
                place = end + 1
            yield self._read_items(b"[%b]" % body[start : place - 1], count)
            count += items
        if body[place:].strip():
            raise _invalid({"line": count, "path": "$", "detail": "something follows the array"})

    def _read_items(self, text: bytes, before: int) -> list[Any]:
        try:
            return decode_json(self._array, text)
        except JSON_ERRORS as error:
            raise _invalid(moved({"line": 1, **fault_of(error, in_array=True)}, before)) from None

    def _fault_at(self, body: bytes, place: int, before: int) -> InvalidInput:
        """What is wrong with the item at `place`, or after it; `before` counts the items before it."""
        try:
            decode_json(self._one, body[place : place + MAX_ENTRY + 1])
        except JSON_ERRORS as error:
            if len(body) - place > MAX_ENTRY and _is_cut(error):
                return too_large(before + 1)
            if not _is_followed(error):
                path_and_detail = fault_of(error)
                path = f"$[{before}]{path_and_detail['path'][1:]}"
                detail = path_and_detail["detail"]
                return _invalid({"line": before + 1, "path": path, "detail": detail})
        detail = "this is no JSON: a comma or the end of the array is missing after it"
        if nested().match(body, place, place + MAX_ENTRY + 1) is None:
            detail = f"this is nested too deeply: {MAX_DEPTH} levels at most"
        return _invalid({"line": before + 1, "path": f"$[{before}]", "detail": detail})


class TextReader:
    """Reads plain text as log entries, one for each line; bytes that are not UTF-8 become U+FFFD."""

    def parts(self, body: bytes, ndjson: bool = False) -> Iterator[list[Report]]:
        """The lines in order. Raises `InvalidInput` for an empty body."""
        if not body:
            raise InvalidInput("the body is empty")
        for text in _cut(body, b"\n"):
            lines = text.decode("utf-8", "replace").split("\n")
            if lines[-1] == "":
                lines.pop()
            for first in range(0, len(lines), PART_LINES):
                some = lines[first : first + PART_LINES]
                yield [LogInput(message=line.removesuffix("\r")) for line in some]


def _cut(body: bytes, before: bytes) -> Iterator[bytes]:
    """Cut at line ends into about `PART` bytes; if there is a choice, where `before` stands."""
    place = 0
    while place < len(body):
        if len(body) - place <= PART:
            end = len(body)
        else:
            end = body.rfind(before, place, place + PART) + 1
            end = end or body.rfind(b"\n", place, place + PART) + 1
            end = end or body.find(b"\n", place + PART) + 1 or len(body)
        yield body[place:end]
        place = end


def _after_blank(body: bytes, place: int) -> int:
    found = _BLANK.match(body, place)
    assert found is not None
    return found.end()


def _is_followed(error: Exception) -> bool:
    """Whether something follows a JSON value."""
    return "trailing characters" in str(error)


def _is_cut(error: Exception) -> bool:
    """Whether a JSON text ends too early."""
    return "truncated" in str(error)


def _invalid_lines(faults: list[Fault]) -> InvalidInput:
    return InvalidInput(f"line {faults[0]['line']}: {faults[0]['detail']}", faults)


def _invalid(fault: Fault) -> InvalidInput:
    return InvalidInput(fault["detail"], [fault])


Reader = ReportReader | TextReader
TEXT_LINES = TextReader()
LOGS = ReportReader(RawLogInput)
RESULTS = ReportReader(RawResultInput)
PROGRESS = ReportReader(ProgressInput)
EVENTS = ReportReader(RawLogInput | RawResultInput | ProgressInput)
