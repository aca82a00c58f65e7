"""Endpoints for instances."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..protocol.inputs import InstanceInput, InstancePatch
from ..protocol.pages import Page
from ..protocol.records import InstanceSummary, new_id
from ..protocol.topics import INSTANCES, Topic
from .permission import permission_of
from .requests import engine_of, limit_of, number, read_object
from .responses import json_response, next_page
from .visible import visible_page


class InstanceList(msgspec.Struct, kw_only=True):
    """Instances, newest first; `next` is the path of the next page, null at the end."""

    instances: list[InstanceSummary]
    last_event_id: str
    next: str | None


async def create_instance(request: Request) -> Response:
    given = await read_object(request, InstanceInput)
    id = given.id or new_id()
    await permission_of(request).require("write", str(Topic("instance", id)))
    instance = await engine_of(request).create_instance(
        given.name,
        id=id,
        experiment_module=given.experiment_module,
        description=given.description,
        configuration=given.configuration,
    )
    return json_response(instance, 201)


async def put_instance(request: Request) -> Response:
    given = await read_object(request, InstanceInput)
    instance, created = await engine_of(request).put_instance(
        request.path_params["id"],
        given.name,
        experiment_module=given.experiment_module,
        description=given.description,
        configuration=given.configuration,
    )
    return json_response(instance, 201 if created else 200)


async def patch_instance(request: Request) -> Response:
    given = await read_object(request, InstancePatch)
    instance = await engine_of(request).update_instance(
        request.path_params["id"],
        name=given.name,
        experiment_module=given.experiment_module,
        description=given.description,
        configuration=given.configuration,
    )
    return json_response(instance)


async def delete_instance(request: Request) -> Response:
    await engine_of(request).delete_instance(request.path_params["id"])
    return Response(status_code=204)


async def get_instance(request: Request) -> Response:
    return json_response(await engine_of(request).get_instance(request.path_params["id"]))


async def list_instances(request: Request) -> Response:
    permission = permission_of(request)
    await permission.require_open(INSTANCES)
    engine, name = engine_of(request), request.query_params.get("name")

    async def fetch(before: int | None, limit: int) -> Page[InstanceSummary]:
        return await engine.list_instances(name=name, before=before, limit=limit)

    async def sees(instance: InstanceSummary) -> bool:
        return await permission.sees_instance(instance.id)

    page = await visible_page(
        fetch,
        None if permission.sees_all(INSTANCES) else sees,
        number(request, "before", None, 0),
        limit_of(request, 100, 1000),
    )
    following = next_page(request, before=page.before)
    return json_response(InstanceList(instances=page.items, last_event_id=page.cursor, next=following))
