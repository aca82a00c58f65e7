"""What a run has logged and found, page by page, in the form `Accept` asks for."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import InvalidQuery
from ..live.formats import log_line, result_line
from ..protocol.records import LEVELS, LogEntry, Result
from ..store.queries import Entries, EntryFilter
from .requests import accepted_type, engine_of, limit_of, number
from .responses import next_page

JSON, NDJSON, CSV, TEXT = "application/json", "application/x-ndjson", "text/csv", "text/plain"


class LogList(msgspec.Struct, kw_only=True):
    """Log entries by `seq`; `total` counts all that match, `next` is the path of the next page."""

    logs: list[LogEntry]
    total: int
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
            raise InvalidQuery(f"there is no level {name[:100]!r}; it is {', '.join(LEVELS)}")
    wanted = EntryFilter(
        "run_log",
        after=number(request, "after", None, 0),
        before=number(request, "before", None, 0),
        labels=tuple(LEVELS[name] for name in names),
        text=request.query_params.get("q", ""),
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
    found, cursor = await engine.entries(request.path_params["id"], wanted, limit)
    following = None
    if found.more:
        backwards = wanted.before is not None and wanted.after is None
        position = {"before": found.first} if backwards else {"after": found.last}
        following = next_page(request, **position)
    media_type = accepted_type(request, (JSON, NDJSON, CSV, TEXT))
    if media_type == JSON:
        rest = {"total": found.total, "last_event_id": cursor, "next": following}
        body = b'{"%b":[%b],%b' % (
            noun.encode(),
            b",".join(found.items),
            msgspec.json.encode(rest)[1:],
        )
        return Response(body, media_type=JSON)
    headers = {"athanor-total": str(found.total), "athanor-last-event-id": cursor}
    if following is not None:
        headers["link"] = f'<{following}>; rel="next"'
    return Response(_FORMS[media_type](noun, found), headers=headers, media_type=media_type)


def _ndjson(noun: str, found: Entries) -> bytes:
    return b"".join(item + b"\n" for item in found.items)


def _csv(noun: str, found: Entries) -> str:
    columns = _COLUMNS[noun]
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for item in found.items:
        entry = msgspec.json.decode(item)
        writer.writerow([_cell(entry[column]) for column in columns])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _text(noun: str, found: Entries) -> str:
    return "".join(_LINES[noun](msgspec.json.decode(item)) + "\n" for item in found.items)


_COLUMNS = {
    "logs": ("seq", "timestamp", "level", "message", "metadata"),
    "results": ("seq", "timestamp", "step", "key", "value"),
}
_LINES = {"logs": log_line, "results": result_line}
_FORMS: dict[str, Any] = {NDJSON: _ndjson, CSV: _csv, TEXT: _text}
