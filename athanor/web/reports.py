"""Endpoints for reports of a running run: log entries, results, progress, or a mixture of them."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import InvalidInput
from ..protocol.bodies import EVENTS, LOGS, PROGRESS, RESULTS, Reader
from .requests import engine_of, idempotency_key, read_body, read_reports, wants_async
from .responses import json_response


class Accepted(msgspec.Struct, kw_only=True):
    """`last_event_id` is the cursor after the stored entries; null if none is stored yet."""

    accepted: int
    last_event_id: str | None
    cancel_requested: bool


async def post_logs(request: Request) -> Response:
    return await _append(request, LOGS, text=True)


async def post_results(request: Request) -> Response:
    return await _append(request, RESULTS)


async def post_events(request: Request) -> Response:
    return await _append(request, EVENTS)


async def post_progress(request: Request) -> Response:
    engine, run_id = engine_of(request), request.path_params["id"]
    progress = (await read_reports(request, PROGRESS)).progress
    if progress is None:
        raise InvalidInput("the body contains no progress")
    run = await engine.report_progress(run_id, progress)
    asked = run.cancel_requested_at is not None
    return json_response(Accepted(accepted=1, last_event_id=None, cancel_requested=asked), 202)


async def post_heartbeat(request: Request) -> Response:
    await read_body(request)
    run = await engine_of(request).heartbeat(request.path_params["id"])
    asked = run.cancel_requested_at is not None
    return json_response(Accepted(accepted=0, last_event_id=None, cancel_requested=asked))


async def _append(request: Request, reader: Reader, text: bool = False) -> Response:
    """Respond with 201 after the commit, or with 202 before it if the request prefers that."""
    engine, run_id = engine_of(request), request.path_params["id"]
    key = idempotency_key(request)
    reports = await read_reports(request, reader, text)
    if not reports.count:
        raise InvalidInput("the body contains no report")
    headers: dict[str, str] = {}
    if wants_async(request):
        receipt = await engine.append_later(run_id, reports, key=key)
        status = 202
        headers["preference-applied"] = "respond-async"
    else:
        receipt = await engine.append(run_id, reports, key=key)
        status = 201
        if receipt.replayed:
            headers["idempotency-replayed"] = "true"
    last = None if receipt.last_n is None else engine.cursor(receipt.last_n)
    accepted = Accepted(
        accepted=receipt.accepted, last_event_id=last, cancel_requested=receipt.cancel_requested
    )
    return json_response(accepted, status, headers)
