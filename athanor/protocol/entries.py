"""Reports: what producers send, checked and encoded once, on their way in.

An `EncodedEntry` holds the JSON that is stored, broadcast and replayed, without its `seq`, which
only the flush knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from ..exceptions import InvalidInput, TooLarge
from .bounds import MAX_ENTRY, MAX_PROGRESS_MESSAGE
from .encoding import encode
from .points import Point, value_of
from .raw import NULL, is_null, is_object, one_line
from .records import (
    LEVELS,
    Bars,
    Level,
    LevelName,
    Progress,
    ProgressBar,
    Step,
    format_time,
    seconds_of,
)

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


class RawLogInput(LogInput, tag="run_log", kw_only=True):
    """A `LogInput` whose metadata is JSON text."""

    metadata: msgspec.Raw = NULL  # type: ignore[assignment]


class RawResultInput(ResultInput, tag="run_result", kw_only=True):
    """A `ResultInput` whose value is JSON text."""

    value: msgspec.Raw


class ProgressInput(ProgressBar, tag_field="type", tag="run_progress", kw_only=True):
    """Progress as a producer sends it."""

    bars: Bars | msgspec.UnsetType = msgspec.UNSET


Report = LogInput | ResultInput | ProgressInput


class EncodedEntry(NamedTuple):
    """A log entry or a result as JSON. The flush puts `{"seq":n,` before `tail`.

    `label` is the level of a log entry, or the key of a result. `point` is what a result means in a
    curve, if its value means a number.
    """

    type: str
    label: str
    tail: bytes
    point: Point | None = None


class _LogBody(msgspec.Struct):
    level: Level
    message: str
    metadata: msgspec.Raw
    timestamp: str


class _ResultBody(msgspec.Struct):
    key: str
    value: msgspec.Raw
    step: int | float | None
    timestamp: str


class EncodedReports:
    """Reports, encoded in the order in which they are added: the entries, and the newest progress.

    A report without a timestamp gets `arrival`. Messages may have `max_message` bytes of UTF-8, and
    there may be `max_entries` entries.
    """

    def __init__(self, arrival: str, max_message: int, max_entries: int) -> None:
        self.entries: list[EncodedEntry] = []
        self.progress: Progress | None = None
        self.count = 0
        """All reports, progress too."""
        self._arrival = arrival
        self._arrived = seconds_of(arrival)
        self._max_message = max_message
        self._max_entries = max_entries

    def add(self, reports: Iterable[Report]) -> None:
        """Encode further reports.

        Raises `TooLarge`, or `InvalidInput` for a timestamp without an offset and for JSON that
        `one_line` refuses; what was added is of no use then.
        """
        add = self.entries.append
        number = self.count
        for number, report in enumerate(reports, self.count + 1):
            if isinstance(report, LogInput):
                add(self._log(report, number))
            elif isinstance(report, ResultInput):
                add(self._result(report, number))
            else:
                self.progress = self._progress(report, number)
        self.count = number
        if len(self.entries) > self._max_entries:
            raise TooLarge(f"a request may bring {self._max_entries} lines at most")

    def _log(self, report: LogInput, number: int) -> EncodedEntry:
        message, at = report.message, report.timestamp
        if len(message) * 4 > self._max_message:
            _check_size(message, number, self._max_message)
        level = LEVELS[report.level]
        metadata: Any = report.metadata
        if metadata is not NULL:
            metadata = _metadata(metadata, number)
        time = self._arrival if at is None else _time(at, number)
        body = encode(_LogBody(level, message, metadata, time))
        if len(body) > MAX_ENTRY:
            raise too_large(number)
        return EncodedEntry("run_log", level, body[1:])

    def _result(self, report: ResultInput, number: int) -> EncodedEntry:
        at = report.timestamp
        value = one_line(_raw(report.value), "$.value", number)
        time = self._arrival if at is None else _time(at, number)
        body = encode(_ResultBody(report.key, value, report.step, time))
        if len(body) > MAX_ENTRY:
            raise too_large(number)
        meant = value_of(bytes(value))
        point = None
        if meant is not None:
            point = (report.step, self._arrived if at is None else at.timestamp(), meant)
        return EncodedEntry("run_result", report.key, body[1:], point)

    def _progress(self, report: ProgressInput, number: int) -> Progress:
        for bar in (report, *(report.bars or ())):
            if bar.message:
                _check_size(bar.message, number, MAX_PROGRESS_MESSAGE)
        return Progress(
            current=report.current,
            total=report.total,
            message=report.message,
            bars=report.bars,
            updated_at=self._arrival,
        )


def encode_reports(
    reports: Iterable[Report], arrival: str, max_message: int
) -> tuple[list[EncodedEntry], Progress | None]:
    """Encode some reports: the entries among them, and the newest progress.

    Raises what `EncodedReports.add` raises.
    """
    encoded = EncodedReports(arrival, max_message, 2**62)
    encoded.add(reports)
    return encoded.entries, encoded.progress


def _raw(value: Any) -> msgspec.Raw:
    """A client's JSON text, or a host's value as one."""
    return value if isinstance(value, msgspec.Raw) else msgspec.Raw(encode(value))


def _metadata(value: Any, number: int) -> msgspec.Raw:
    raw = one_line(_raw(value), "$.metadata", number)
    if not is_object(raw) and not is_null(raw):
        detail = "Expected `object | null`"
        raise InvalidInput(detail, [{"line": number, "path": "$.metadata", "detail": detail}])
    return raw


def too_large(number: int) -> TooLarge:
    """The error for the entry of that number in a body."""
    detail = f"an entry may have {MAX_ENTRY} bytes of JSON at most; send it in parts"
    return TooLarge(detail, [{"line": number, "path": "$", "detail": detail}])


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
