"""Reports: what producers send, checked and encoded once, on their way in.

An `EncodedEntry` holds the JSON that is stored, broadcast and replayed, without its `seq`, which
only the flush knows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from ..exceptions import InvalidInput, TooLarge
from .bounds import MAX_ENTRY, MAX_PROGRESS_MESSAGE
from .encoding import encode, encode_tails
from .points import MAX_DOUBLE, Point, value_of
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


class RawLogInput(LogInput, tag="run_log", kw_only=True, gc=False):
    """A `LogInput` whose metadata is JSON text."""

    metadata: msgspec.Raw = NULL  # type: ignore[assignment]


class RawResultInput(ResultInput, tag="run_result", kw_only=True, gc=False):
    """A `ResultInput` whose value is JSON text."""

    value: msgspec.Raw


class ProgressInput(ProgressBar, tag_field="type", tag="run_progress", kw_only=True):
    """Progress as a producer sends it."""

    bars: Bars | msgspec.UnsetType = msgspec.UNSET


Report = LogInput | ResultInput | ProgressInput
# an exact type is found at once, a base class is looked for
_LOGS = (RawLogInput, LogInput)
_RESULTS = (RawResultInput, ResultInput)


# with `gc=False` the garbage collector does not look at it: it holds no other container
class EncodedEntry(msgspec.Struct, gc=False):
    """A log entry or a result as JSON. The flush puts `{"seq":n,` before `tail`.

    `label` is the level of a log entry, or the key of a result. `point` is what a result means in a
    curve, if its value means a number.
    """

    type: str
    label: str
    tail: bytes
    point: Point | None = None


class _LogBody(msgspec.Struct, gc=False):
    level: Level
    message: str
    metadata: msgspec.Raw
    timestamp: str | datetime


class _ResultBody(msgspec.Struct, gc=False):
    key: str
    value: msgspec.Raw
    step: int | float | None
    timestamp: str | datetime


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
        bodies: list[_LogBody | _ResultBody] = []
        numbers: list[int] = []
        points: list[Point | None] = []
        number = self.count
        for number, report in enumerate(reports, self.count + 1):
            if isinstance(report, _LOGS):
                bodies.append(self._log(report, number))
                points.append(None)
            elif isinstance(report, _RESULTS):
                result, point = self._result(report, number)
                bodies.append(result)
                points.append(point)
            else:
                self.progress = self._progress(report, number)
                continue
            numbers.append(number)
        self.count = number
        add = self.entries.append
        for number, body, tail, point in zip(numbers, bodies, encode_tails(bodies), points, strict=True):
            if len(tail) >= MAX_ENTRY:
                raise too_large(number)
            if isinstance(body, _LogBody):
                add(EncodedEntry("run_log", body.level, tail))
            else:
                add(EncodedEntry("run_result", body.key, tail, point))
        if len(self.entries) > self._max_entries:
            raise TooLarge(f"a request may bring {self._max_entries} lines at most")

    def _log(self, report: LogInput, number: int) -> _LogBody:
        message, at = report.message, report.timestamp
        metadata: Any = report.metadata
        if len(message) * 4 > self._max_message:
            _check_size(message, number, self._max_message)
        raw = NULL if metadata is NULL else _metadata(metadata, number)
        time = self._arrival if at is None else _time(at, number)
        return _LogBody(LEVELS[report.level], message, raw, time)

    def _result(self, report: ResultInput, number: int) -> tuple[_ResultBody, Point | None]:
        at = report.timestamp
        value = _raw(report.value)
        meant = value_of(bytes(value))
        if meant is None or not -MAX_DOUBLE <= meant <= MAX_DOUBLE:
            # a number within the range of doubles is on one line, and in order
            value = one_line(value, "$.value", number)
        time = self._arrival if at is None else _time(at, number)
        point = None
        if meant is not None:
            point = (report.step, self._arrived if at is None else at.timestamp(), meant)
        return _ResultBody(report.key, value, report.step, time), point

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


def _time(moment: datetime, number: int) -> str | datetime:
    """A time that is encoded in the form of `format_time`."""
    if moment.tzinfo is UTC and moment.microsecond:
        # msgspec writes it in that form, and much faster
        return moment
    detail = ""
    if moment.tzinfo is None:
        detail = "a timestamp needs its offset from UTC, as in 2026-11-23T17:30:00Z"
    else:
        try:
            return format_time(moment)
        except OverflowError:
            detail = "this timestamp is out of range in UTC"
    raise InvalidInput(detail, [{"line": number, "path": "$.timestamp", "detail": detail}])
