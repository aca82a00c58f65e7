"""Endpoints for instances."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import RawInstanceInput, RawInstancePatch
from ..protocol.pages import Page
from ..protocol.records import InstanceSummary, new_id
from ..protocol.stored import StoredSummary
from ..protocol.topics import INSTANCES, Topic
from .permission import permission_of
from .requests import engine_of, limit_of, number, read_object
from .responses import json_response, next_page
from .visible import visible_page


class InstanceList(msgspec.Struct, kw_only=True):
    """Instances, newest first; `next` is the path of the next page, null at the end."""

    instances: Sequence[InstanceSummary]
    last_event_id: str
    next: str | None


async def create_instance(request: Request) -> Response:
    given = await read_object(request, RawInstanceInput)
    given.id = given.id or new_id()
    await permission_of(request).require("write", str(Topic("instance", given.id)))
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
    permission = permission_of(request)
    await permission.require_open(INSTANCES)
    lives, name = engine_of(request).lives, request.query_params.get("name")

    async def fetch(before: int | None, limit: int) -> Page[StoredSummary]:
        return await lives.list_instances(name, before, limit)

    async def sees(instance: StoredSummary) -> bool:
        return await permission.sees_instance(instance.id)

    page = await visible_page(
        fetch,
        None if permission.sees_all(INSTANCES) else sees,
        number(request, "before", None, 0),
        limit_of(request, 100, 1000),
    )
    following = next_page(request, before=page.before)
    return json_response(InstanceList(instances=page.items, last_event_id=page.cursor, next=following))
