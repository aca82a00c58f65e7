"""Reports: what producers send, checked and encoded once, on their way in.

An `EncodedEntry` holds the JSON that is stored, broadcast and replayed, without its `seq`, which
only the flush knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from ..exceptions import Fault, InvalidInput, TooLarge
from .encoding import JSON_ERRORS, decode_json, encode
from .records import LEVELS, Bars, Level, LevelName, Progress, ProgressBar, Step, format_time

MAX_FAULTS = 20
"""An error lists at most this many faults of a body, the first ones."""

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class LogInput(msgspec.Struct, tag_field="type", tag="run_log", kw_only=True):
    """A log entry as a producer sends it."""

    message: str
    level: LevelName = "info"
    metadata: dict[str, Any] | None = None
    timestamp: datetime | None = None


class ResultInput(msgspec.Struct, tag_field="type", tag="run_result", kw_only=True):
    """A result as a producer sends it: any JSON under a key."""

    key: Key
    value: Any
    step: Step | None = None
    timestamp: datetime | None = None


class ProgressInput(ProgressBar, tag_field="type", tag="run_progress", kw_only=True):
    """Progress as a producer sends it."""

    bars: Bars | msgspec.UnsetType = msgspec.UNSET


Report = LogInput | ResultInput | ProgressInput


class EncodedEntry(NamedTuple):
    """A log entry or a result as JSON. The flush puts `{"seq":n,` before `tail`.

    `label` is the level of a log entry, or the key of a result.
    """

    type: str
    label: str
    tail: bytes


class _LogBody(msgspec.Struct):
    level: Level
    message: str
    metadata: dict[str, Any] | None
    timestamp: str


class _ResultBody(msgspec.Struct):
    key: str
    value: Any
    step: int | float | None
    timestamp: str


def encode_reports(
    reports: Iterable[Report], arrival: str, max_message: int
) -> tuple[list[EncodedEntry], Progress | None]:
    """Encode reports in order: the entries among them, and the newest progress.

    A report without a timestamp gets `arrival`. Raises `TooLarge` for a message of more than
    `max_message` bytes of UTF-8, and `InvalidInput` for a timestamp without an offset.
    """
    entries: list[EncodedEntry] = []
    progress: Progress | None = None
    for number, report in enumerate(reports, 1):
        if type(report) is LogInput:
            _check_size(report.message, number, max_message)
            level = LEVELS[report.level]
            at = arrival if report.timestamp is None else _time(report.timestamp, number)
            body = encode(_LogBody(level, report.message, report.metadata, at))
            entries.append(EncodedEntry("run_log", level, body[1:]))
        elif type(report) is ResultInput:
            at = arrival if report.timestamp is None else _time(report.timestamp, number)
            body = encode(_ResultBody(report.key, report.value, report.step, at))
            entries.append(EncodedEntry("run_result", report.key, body[1:]))
        elif type(report) is ProgressInput:
            bars = report.bars or []
            for bar in (report, *bars):
                _check_size(bar.message or "", number, max_message)
            progress = Progress(
                current=report.current,
                total=report.total,
                message=report.message,
                bars=report.bars,
                updated_at=arrival,
            )
    return entries, progress


def _check_size(message: str, number: int, max_message: int) -> None:
    if len(message) * 4 > max_message and len(message.encode("utf-8", "replace")) > max_message:
        detail = f"a message may have {max_message} bytes of UTF-8 at most"
        raise TooLarge(detail, [{"line": number, "path": "$.message", "detail": detail}])


def _time(moment: datetime, number: int) -> str:
    detail = ""
    if moment.tzinfo is None:
        detail = "a timestamp needs its offset from UTC, as in 2026-11-23T17:30:00Z"
    else:
        try:
            return format_time(moment)
        except OverflowError:
            detail = "this timestamp is out of range in UTC"
    raise InvalidInput(detail, [{"line": number, "path": "$.timestamp", "detail": detail}])


class ReportReader:
    """Reads bodies of one kind of report: an object, an array, or one object a line (NDJSON)."""

    def __init__(self, type_: Any) -> None:
        self._one: msgspec.json.Decoder[Any] = msgspec.json.Decoder(type_)
        self._array: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[type_])

    def read(self, body: bytes, ndjson: bool) -> list[Any]:
        """The reports in `body`, in order. Raises `InvalidInput`, which lists line and path of faults."""
        start = body.lstrip()[:1]
        if not start:
            raise InvalidInput("the body is empty")
        if ndjson:
            return self._read_lines(body)
        in_array = start == b"["
        try:
            return decode_json(self._array, body) if in_array else [decode_json(self._one, body)]
        except JSON_ERRORS as error:
            # several objects are NDJSON, whatever the content type says
            if start == b"{" and "trailing characters" in str(error):
                return self._read_lines(body)
            fault: Fault = {"line": 1, **fault_of(error, in_array)}
            raise InvalidInput(fault["detail"], [fault]) from None

    def _read_lines(self, body: bytes) -> list[Any]:
        try:
            return self._one.decode_lines(body)
        except JSON_ERRORS:
            return self._read_line_by_line(body)

    def _read_line_by_line(self, body: bytes) -> list[Any]:
        reports: list[Any] = []
        faults: list[Fault] = []
        for number, text in enumerate(body.split(b"\n"), 1):
            if not text.strip():
                continue
            try:
                reports.append(decode_json(self._one, text))
            except JSON_ERRORS as error:
                faults.append({"line": number, **fault_of(error)})
                if len(faults) == MAX_FAULTS:
                    break
        if faults:
            raise InvalidInput(f"line {faults[0]['line']}: {faults[0]['detail']}", faults)
        return reports


_AT = re.compile(r"(.*) - at `(?:key in )?(.*)`", re.DOTALL)
_INDEX = re.compile(r"\$\[(\d+)\]")


def fault_of(error: Exception, in_array: bool = False) -> Fault:
    """The place and the fault, out of msgspec's message; the items of an array count as lines."""
    if isinstance(error, UnicodeDecodeError):
        return {"path": "$", "detail": "this is not UTF-8"}
    if isinstance(error, RecursionError):
        return {"path": "$", "detail": "this is nested too deeply"}
    match = _AT.fullmatch(str(error))
    detail, path = (match[1], match[2]) if match else (str(error), "$")
    detail = detail.replace("JSON is malformed: ", "this is no JSON: ")
    if detail == "Input data was truncated":
        detail = "this is no JSON: it ends too early"
    index = _INDEX.match(path)
    if in_array and index:
        return {"line": int(index[1]) + 1, "path": path, "detail": detail}
    return {"path": path, "detail": detail}


def read_text(body: bytes) -> list[LogInput]:
    """Plain text as log entries, one for each line; bytes that are not UTF-8 become U+FFFD."""
    if not body:
        raise InvalidInput("the body is empty")
    lines = body.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return [LogInput(message=line.removesuffix("\r")) for line in lines]


Reader = Callable[[bytes, bool], list[Any]]
read_logs: Reader = ReportReader(LogInput).read
read_results: Reader = ReportReader(ResultInput).read
read_progress: Reader = ReportReader(ProgressInput).read
read_events: Reader = ReportReader(LogInput | ResultInput | ProgressInput).read
