"""Endpoints for a run's log entries and results: pages, in the format that `Accept` prefers."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import InvalidQuery
from ..live.formats import log_text, result_text
from ..protocol.pages import EntryFilter, EntryPage
from ..protocol.records import LEVELS, LogEntry, Result
from ..protocol.safe_text import visible
from .paced_response import PacedResponse
from .requests import accepted_type, engine_of, is_set, limit_of, number, until_gone
from .responses import CSV, JSON, NDJSON, TEXT, list_response, next_page

LONG = 1000
"""A list with a larger limit than this is long."""
MOST_TEXT = 256
"""The characters of the text in `?q=`."""


class LogList(msgspec.Struct, kw_only=True):
    """Log entries by `seq`; `total` counts all that match, `next` is the path of the next page.

    The `total` of a search is null unless this request read everything between `after` and `before`.
    """

    logs: list[LogEntry]
    total: int | None
    last_event_id: str
    next: str | None


class ResultList(msgspec.Struct, kw_only=True):
    """Results by `seq`; `total` counts all that match, `next` is the path of the next page."""

    results: list[Result]
    total: int
    last_event_id: str
    next: str | None


async def get_logs(request: Request) -> Response:
    names = [name for name in request.query_params.get("level", "").split(",") if name]
    for name in names:
        if name not in LEVELS:
            raise InvalidQuery(f"level is {name[:100]!r}; it must be one of {', '.join(LEVELS)}")
    text = request.query_params.get("q", "")
    if len(text) > MOST_TEXT:
        raise InvalidQuery(f"q has {len(text)} characters; it may have {MOST_TEXT} at most")
    wanted = EntryFilter(
        "run_log",
        after=number(request, "after", None, 0),
        before=number(request, "before", None, 0),
        labels=tuple(LEVELS[name] for name in names),
        stream=request.query_params.get("stream", ""),
        text=text,
    )
    return await _page(request, "logs", wanted)


async def get_results(request: Request) -> Response:
    wanted = EntryFilter(
        "run_result",
        after=number(request, "after", None, 0),
        before=number(request, "before", None, 0),
        labels=tuple(request.query_params.getlist("key")),
    )
    return await _page(request, "results", wanted)


async def _page(request: Request, noun: str, wanted: EntryFilter) -> Response:
    limit = limit_of(request, 1000, 10_000)
    engine = engine_of(request)
    reading = engine.entries(request.path_params["id"], wanted, limit)
    if wanted.is_search:
        page = await until_gone(request, reading)
    else:
        # one long list is read at a time, so that short ones do not wait behind many of them
        async with engine.long_lists if limit > LONG else contextlib.nullcontext():
            page = await reading
    following = None
    if page.more:
        position = {"before": page.first} if wanted.is_backwards else {"after": page.last}
        following = next_page(request, **position)
    media_type = accepted_type(request, (JSON, *_FORMATS))
    if media_type == JSON:
        rest = {"total": page.total, "last_event_id": page.cursor, "next": following}
        return list_response(noun, page.items, rest)
    headers = {"athanor-last-event-id": page.cursor}
    if page.total is not None:
        headers["athanor-total"] = str(page.total)
    if following is not None:
        headers["link"] = f'<{following}>; rel="next"'
    format = _FORMATS[media_type]
    if media_type == CSV and is_set(request, "exact"):
        format = _exact_csv
    return PacedResponse(format(noun, page), headers=headers, media_type=media_type)


def _ndjson(noun: str, page: EntryPage) -> bytes:
    return b"".join(item + b"\n" for item in page.items)


def _exact_csv(noun: str, page: EntryPage) -> str:
    return _csv_of(noun, page, str)


def _csv(noun: str, page: EntryPage) -> str:
    return _csv_of(noun, page, harmless)


def _csv_of(noun: str, page: EntryPage, form: Callable[[str], str]) -> str:
    columns = _COLUMNS[noun]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for item in page.items:
        entry = msgspec.json.decode(item)
        writer.writerow([form(_cell(entry[column])) for column in columns])
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else msgspec.json.encode(value).decode()


def harmless(cell: str) -> str:
    """A cell that neither a spreadsheet nor a terminal obeys.

    What a spreadsheet takes for a formula begins with an apostrophe, which makes it text; plain
    numbers stay. Control characters are visible.
    """
    text = visible(cell)
    if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell):
        return f"'{text}"
    return text


# quotes before a formula may be removed on import; the last four are the wide forms of the first
_FORMULA = re.compile(r"[\"']*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|-Infinity", re.ASCII)


def _text(noun: str, page: EntryPage) -> str:
    return "".join(_LINES[noun](msgspec.json.decode(item)) + "\n" for item in page.items)


_COLUMNS = {
    "logs": ("seq", "timestamp", "level", "message", "metadata"),
    "results": ("seq", "timestamp", "step", "key", "value"),
}
_LINES = {"logs": log_text, "results": result_text}
_FORMATS: dict[str, Callable[[str, EntryPage], str | bytes]] = {NDJSON: _ndjson, CSV: _csv, TEXT: _text}
