"""Instances over HTTP."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import InstanceInput, InstancePatch
from ..protocol.records import InstanceSummary
from ..store import queries
from .requests import engine_of, limit_of, number, read_object
from .responses import json_response, next_page


class InstanceList(msgspec.Struct, kw_only=True):
    """Instances, newest first; `next` is the path of the next page, null at the end."""

    instances: list[InstanceSummary]
    last_event_id: str
    next: str | None


async def create_instance(request: Request) -> Response:
    given = await read_object(request, InstanceInput)
    instance = await engine_of(request).create_instance(**msgspec.structs.asdict(given))
    return json_response(instance, 201)


async def put_instance(request: Request) -> Response:
    given = msgspec.structs.asdict(await read_object(request, InstanceInput))
    given["id"] = request.path_params["id"]
    instance, created = await engine_of(request).put_instance(**given)
    return json_response(instance, 201 if created else 200)


async def patch_instance(request: Request) -> Response:
    given = msgspec.to_builtins(await read_object(request, InstancePatch))
    return json_response(await engine_of(request).update_instance(request.path_params["id"], **given))


async def delete_instance(request: Request) -> Response:
    await engine_of(request).delete_instance(request.path_params["id"])
    return Response(status_code=204)


async def get_instance(request: Request) -> Response:
    return json_response(await engine_of(request).get_instance(request.path_params["id"]))


async def list_instances(request: Request) -> Response:
    limit = limit_of(request, 100, 1000)
    before = number(request, "before", 2**62, 0)
    name = request.query_params.get("name")
    assert before is not None
    (found, following), newest = await engine_of(request).store.snapshot(
        lambda session: queries.list_instances(session, name, before, limit)
    )
    return json_response(
        InstanceList(
            instances=found,
            last_event_id=newest,
            next=next_page(request, before=following),
        )
    )
