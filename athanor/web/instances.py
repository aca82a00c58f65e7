"""Endpoints for instances."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import RawInstanceInput, RawInstancePatch
from ..protocol.records import InstanceSummary
from .requests import engine_of, limit_of, number, read_object
from .responses import json_response, next_page


class InstanceList(msgspec.Struct, kw_only=True):
    """Instances, newest first; `next` is the path of the next page, null at the end."""

    instances: Sequence[InstanceSummary]
    last_event_id: str
    next: str | None


async def create_instance(request: Request) -> Response:
    given = await read_object(request, RawInstanceInput)
    return json_response(await engine_of(request).lives.create_instance(given), 201)


async def put_instance(request: Request) -> Response:
    given = await read_object(request, RawInstanceInput)
    instance, created = await engine_of(request).lives.put_instance(request.path_params["id"], given)
    return json_response(instance, 201 if created else 200)


async def patch_instance(request: Request) -> Response:
    given = await read_object(request, RawInstancePatch)
    lives = engine_of(request).lives
    return json_response(await lives.update_instance(request.path_params["id"], given))


async def delete_instance(request: Request) -> Response:
    await engine_of(request).delete_instance(request.path_params["id"])
    return Response(status_code=204)


async def get_instance(request: Request) -> Response:
    return json_response(await engine_of(request).lives.get_instance(request.path_params["id"]))


async def list_instances(request: Request) -> Response:
    page = await engine_of(request).lives.list_instances(
        name=request.query_params.get("name"),
        before=number(request, "before", None, 0),
        limit=limit_of(request, 100, 1000),
    )
    following = next_page(request, before=page.before)
    return json_response(InstanceList(instances=page.items, last_event_id=page.cursor, next=following))
