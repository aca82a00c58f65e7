"""Endpoints for metrics and curves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..exceptions import InvalidQuery
from ..protocol.encoding import encode
from ..protocol.metrics import LEAST_POINTS, MOST_POINTS, MOST_RUNS, Axis, Curve, KeyUse, Metric
from ..protocol.topics import RUNS, Topic
from .permission import permission_of
from .requests import engine_of, limit_of, number, real
from .responses import json_response, list_response, next_page

_AXES: tuple[Axis, ...] = get_args(Axis)


class MetricList(msgspec.Struct, kw_only=True):
    """Metrics by key; `seq` is the run's newest result, `next` is the path of the next page."""

    metrics: Sequence[Metric]
    seq: int
    last_event_id: str
    next: str | None


class KeyList(msgspec.Struct, kw_only=True):
    """The keys of an instance's runs; `next` is the path of the next page."""

    metrics: Sequence[KeyUse]
    last_event_id: str
    next: str | None


class CurveList(msgspec.Struct, kw_only=True):
    """Curves, by run and key in the order in which they were asked for."""

    curves: Sequence[Curve]
    last_event_id: str


async def get_metrics(request: Request) -> Response:
    after, limit = request.query_params.get("after", ""), limit_of(request, 1000, 10_000)
    page = await engine_of(request).lives.list_metrics(request.path_params["id"], after, limit)
    last = msgspec.json.decode(page.items[-1], type=Metric).key if page.more else None
    following = next_page(request, after=last)
    rest = {"seq": page.seq, "last_event_id": page.cursor, "next": following}
    return list_response("metrics", page.items, rest)


async def get_keys(request: Request) -> Response:
    after, limit = request.query_params.get("after", ""), limit_of(request, 1000, 10_000)
    engine = engine_of(request)
    page = await engine.instance_metrics(request.path_params["id"], after=after, limit=limit)
    following = next_page(request, after=page.items[-1].key) if page.more else None
    return json_response(KeyList(metrics=page.items, last_event_id=page.cursor, next=following))


async def get_run_curves(request: Request) -> Response:
    return await _curves(request, [request.path_params["id"]])


async def get_curves(request: Request) -> Response:
    run_ids = request.query_params.getlist("run")
    permission = permission_of(request)
    if not run_ids:
        # nobody learns by that what there is
        await permission.require_open(RUNS)
    # more are refused in any case
    for run_id in list(dict.fromkeys(run_ids))[: MOST_RUNS + 1]:
        await permission.require("read", str(Topic("run", run_id)))
    return await _curves(request, run_ids)


async def _curves(request: Request, run_ids: list[str]) -> Response:
    query = request.query_params
    axis: Any = query.get("x") or "step"
    if axis not in _AXES:
        raise InvalidQuery(f"x is {axis[:100]!r}; it must be one of {', '.join(_AXES)}")
    page = await engine_of(request).curves(
        run_ids,
        query.getlist("key"),
        points=number(request, "points", 1000, LEAST_POINTS, MOST_POINTS) or 0,
        x=axis,
        start=real(request, "from"),
        end=real(request, "to"),
    )
    items: list[bytes] = []
    for curve in page.curves:
        items.append(encode(curve))
        # others run in between: all together may be some megabytes
        await asyncio.sleep(0)
    return list_response("curves", items, {"last_event_id": page.cursor})
