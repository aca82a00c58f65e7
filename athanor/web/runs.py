"""Endpoints for runs: creating and finding them, and changing their status."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import RawRunInput, RawRunPatch
from ..protocol.records import RunState, Status
from .requests import engine_of, limit_of, number, read_body, read_object, status_of
from .responses import json_response, next_page


class RunList(msgspec.Struct, kw_only=True):
    """Runs, newest first; `next` is the path of the next page, null at the end."""

    runs: Sequence[RunState]
    last_event_id: str
    next: str | None


class Failure(msgspec.Struct, kw_only=True):
    """Why a run failed."""

    error: str | None = None


async def create_run(request: Request) -> Response:
    given = await read_object(request, RawRunInput, default=b"{}")
    run, created = await engine_of(request).lives.put_run(request.path_params["id"], given)
    return json_response(run, 201 if created else 200)


async def get_run(request: Request) -> Response:
    return json_response(await engine_of(request).lives.get_run(request.path_params["id"]))


async def list_runs(request: Request) -> Response:
    page = await engine_of(request).lives.list_runs(
        # none in the path of all runs
        instance_id=request.path_params.get("id"),
        status=status_of(request),
        before=number(request, "before", None, 0),
        limit=limit_of(request, 100, 1000),
    )
    following = next_page(request, before=page.before)
    return json_response(RunList(runs=page.items, last_event_id=page.cursor, next=following))


async def patch_run(request: Request) -> Response:
    given = await read_object(request, RawRunPatch)
    return json_response(await engine_of(request).lives.update_run(request.path_params["id"], given))


async def delete_run(request: Request) -> Response:
    await engine_of(request).delete_run(request.path_params["id"])
    return Response(status_code=204)


async def start_run(request: Request) -> Response:
    return await _set_status(request, "running")


async def complete_run(request: Request) -> Response:
    return await _set_status(request, "completed")


async def fail_run(request: Request) -> Response:
    failure = await read_object(request, Failure, default=b"{}")
    lives = engine_of(request).lives
    return json_response(await lives.set_status(request.path_params["id"], "failed", failure.error))


async def cancel_run(request: Request) -> Response:
    await read_body(request)
    return json_response(await engine_of(request).lives.cancel_run(request.path_params["id"]))


async def run_cancelled(request: Request) -> Response:
    return await _set_status(request, "cancelled")


async def _set_status(request: Request, status: Status) -> Response:
    await read_body(request)
    return json_response(await engine_of(request).lives.set_status(request.path_params["id"], status))
