"""Runs over HTTP: making, finding and moving them."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..domain.commands import found_run, no_instance
from ..protocol.inputs import RunInput
from ..protocol.records import Progress, Run
from ..store import queries
from ..store.session import Session
from .requests import engine_of, limit_of, number, read_body, read_object, status_of
from .responses import json_response, next_page


class RunState(Run, kw_only=True):
    """A run as answers have it; `stale`: it runs, and has given no sign of life for a minute."""

    stale: bool


class RunDetail(RunState, kw_only=True):
    """A run with its last known progress, and the cursor of the moment it was read."""

    progress: Progress | None
    last_event_id: str


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
    run, created = await engine_of(request).put_run(
        request.path_params["id"], id=given.id, metadata=given.metadata
    )
    return json_response(_state(request, run), 201 if created else 200)


async def get_run(request: Request) -> Response:
    engine, id = engine_of(request), request.path_params["id"]
    state, newest = await engine.store.snapshot(lambda session: queries.find_run(session, id))
    run = found_run(state.run if state else None, id)
    detail = msgspec.structs.asdict(_state(request, run))
    return json_response(RunDetail(**detail, progress=engine.board.latest(id), last_event_id=newest))


async def list_runs(request: Request) -> Response:
    return await _list(request, None)


async def list_runs_of_instance(request: Request) -> Response:
    return await _list(request, request.path_params["id"])


async def _list(request: Request, instance_id: str | None) -> Response:
    limit, status = limit_of(request, 100, 1000), status_of(request)
    before = number(request, "before", 2**62, 0)
    assert before is not None

    async def job(session: Session) -> tuple[list[Run], int | None]:
        if instance_id is not None and not await queries.has_instance(session, instance_id):
            raise no_instance(instance_id)
        return await queries.list_runs(session, instance_id, status, before, limit)

    (found, following), newest = await engine_of(request).store.snapshot(job)
    runs = [_state(request, run) for run in found]
    return json_response(
        RunList(runs=runs, last_event_id=newest, next=next_page(request, before=following))
    )


async def start_run(request: Request) -> Response:
    return await _moved(request, engine_of(request).start_run)


async def complete_run(request: Request) -> Response:
    return await _moved(request, engine_of(request).complete_run)


async def fail_run(request: Request) -> Response:
    failure = await read_object(request, Failure, default=b"{}")
    run = await engine_of(request).fail_run(request.path_params["id"], failure.error)
    return json_response(_state(request, run))


async def cancel_run(request: Request) -> Response:
    return await _moved(request, engine_of(request).cancel_run)


async def run_cancelled(request: Request) -> Response:
    return await _moved(request, engine_of(request).run_cancelled)


async def _moved(request: Request, move: Any) -> Response:
    await read_body(request)
    return json_response(_state(request, await move(request.path_params["id"])))


def _state(request: Request, run: Run) -> RunState:
    stale = engine_of(request).liveness.is_stale(run)
    return RunState(**msgspec.structs.asdict(run), stale=stale)
