"""Endpoints for runs: creating and finding them, and changing their status."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import RunInput, RunPatch
from ..protocol.pages import Page
from ..protocol.records import RunState, new_id
from ..protocol.topics import RUNS, Topic
from .permission import permission_of
from .requests import engine_of, limit_of, number, read_body, read_object, status_of
from .responses import json_response, next_page
from .visible import visible_page


class RunList(msgspec.Struct, kw_only=True):
    """Runs, newest first; `next` is the path of the next page, null at the end."""

    runs: list[RunState]
    last_event_id: str
    next: str | None


class Failure(msgspec.Struct, kw_only=True):
    """Why a run failed."""

    error: str | None = None


async def create_run(request: Request) -> Response:
    given = await read_object(request, RunInput, default=b"{}")
    instance_id, id = request.path_params["id"], given.id or new_id()
    permission = permission_of(request)
    await permission.require("write", str(Topic("instance", instance_id)))
    await permission.require("write", str(Topic("run", id)))
    run, created = await engine_of(request).put_run(instance_id, id=id, metadata=given.metadata)
    return json_response(run, 201 if created else 200)


async def get_run(request: Request) -> Response:
    return json_response(await engine_of(request).get_run(request.path_params["id"]))


async def list_runs(request: Request) -> Response:
    # none in the path of all runs
    instance_id = request.path_params.get("id")
    topic = RUNS if instance_id is None else str(Topic("instance", instance_id))
    permission = permission_of(request)
    await permission.require_open(topic)
    engine, status = engine_of(request), status_of(request)

    async def fetch(before: int | None, limit: int) -> Page[RunState]:
        return await engine.list_runs(instance_id=instance_id, status=status, before=before, limit=limit)

    async def sees(run: RunState) -> bool:
        return await permission.sees_run(run.id, run.instance_id)

    page = await visible_page(
        fetch,
        None if permission.sees_all(topic) else sees,
        number(request, "before", None, 0),
        limit_of(request, 100, 1000),
    )
    following = next_page(request, before=page.before)
    return json_response(RunList(runs=page.items, last_event_id=page.cursor, next=following))


async def patch_run(request: Request) -> Response:
    given = await read_object(request, RunPatch)
    run = await engine_of(request).update_run(
        request.path_params["id"],
        name=given.name,
        tags=given.tags,
        notes=given.notes,
        metadata=given.metadata,
    )
    return json_response(run)


async def delete_run(request: Request) -> Response:
    await engine_of(request).delete_run(request.path_params["id"])
    return Response(status_code=204)


async def start_run(request: Request) -> Response:
    return await _change(request, engine_of(request).start_run)


async def complete_run(request: Request) -> Response:
    return await _change(request, engine_of(request).complete_run)


async def fail_run(request: Request) -> Response:
    failure = await read_object(request, Failure, default=b"{}")
    return json_response(await engine_of(request).fail_run(request.path_params["id"], failure.error))


async def cancel_run(request: Request) -> Response:
    return await _change(request, engine_of(request).cancel_run)


async def run_cancelled(request: Request) -> Response:
    return await _change(request, engine_of(request).run_cancelled)


async def _change(request: Request, change: Callable[[str], Awaitable[RunState]]) -> Response:
    await read_body(request)
    return json_response(await change(request.path_params["id"]))
