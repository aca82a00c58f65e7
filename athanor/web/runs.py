"""Endpoints for runs: creating and finding them, and changing their status."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import InvalidQuery
from ..protocol.inputs import RawRunInput, RawRunPatch
from ..protocol.metrics import MOST_KEYS
from ..protocol.pages import Page
from ..protocol.records import RunState, Status, new_id
from ..protocol.stored import StoredState
from ..protocol.topics import RUNS, Topic
from .permission import permission_of
from .requests import engine_of, limit_of, number, read_body, read_object, status_of
from .responses import json_response, next_page
from .visible import visible_page

MOST_SUMMARIZED = 250
"""Runs in a list with summaries."""


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
    instance_id = request.path_params["id"]
    given.id = given.id or new_id()
    permission = permission_of(request)
    await permission.require("write", str(Topic("instance", instance_id)))
    await permission.require("write", str(Topic("run", given.id)))
    run, created = await engine_of(request).lives.put_run(instance_id, given)
    return json_response(run, 201 if created else 200)


async def get_run(request: Request) -> Response:
    return json_response(await engine_of(request).lives.get_run(request.path_params["id"]))


async def list_runs(request: Request) -> Response:
    # none in the path of all runs
    instance_id = request.path_params.get("id")
    topic = RUNS if instance_id is None else str(Topic("instance", instance_id))
    permission = permission_of(request)
    await permission.require_open(topic)
    lives, status = engine_of(request).lives, status_of(request)
    keys = summary_of(request)

    async def fetch(before: int | None, limit: int) -> Page[StoredState]:
        return await lives.list_runs(instance_id, status, before, limit, keys)

    async def sees(run: StoredState) -> bool:
        return await permission.sees_run(run.id, run.instance_id)

    page = await visible_page(
        fetch,
        None if permission.sees_all(topic) else sees,
        number(request, "before", None, 0),
        limit_of(request, 100, 1000 if keys is None else MOST_SUMMARIZED),
    )
    following = next_page(request, before=page.before)
    return json_response(RunList(runs=page.items, last_event_id=page.cursor, next=following))


def summary_of(request: Request) -> list[str] | None:
    """The keys of `summary`, None if it is not there. Raises `InvalidQuery` for too many keys."""
    keys = list(dict.fromkeys(request.query_params.getlist("summary")))
    if len(keys) > MOST_KEYS:
        raise InvalidQuery(f"summary has {len(keys)} keys; {MOST_KEYS} is the most, or * for the first")
    return keys or None


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
