"""The table of endpoints, from which the routes and the OpenAPI document are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..protocol.entries import LogInput, ProgressInput, ResultInput
from ..protocol.inputs import InstanceInput, InstancePatch, RunInput, RunPatch
from ..protocol.records import Instance, InstanceSummary, RunDetail, RunState
from . import history, instances, metrics, pages, reports, runs, status
from .bodies import Bodies
from .event_stream import EventStream
from .problems import Problem
from .streams import StreamEndpoint

Handler = Callable[[Request], Awaitable[Response]]


class Endpoint(NamedTuple):
    """One method of one path.

    `responses` maps the statuses of success to the types of their bodies; `errors` are the statuses
    of refusals, except 500 and 503, which any endpoint may send.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    body: Any = None
    responses: Mapping[int, Any] = MappingProxyType({})
    errors: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    plain_text: bool = False


_APPEND: dict[str, Any] = {
    "responses": {201: reports.Accepted, 202: reports.Accepted},
    "errors": (400, 404, 409, 413, 415, 422),
    "headers": ("Idempotency-Key", "Prefer"),
}
_TRANSITION: dict[str, Any] = {"responses": {200: RunState}, "errors": (404, 409)}

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST", "/runs/{id}/logs", reports.post_logs, "Add log entries", list[LogInput] | LogInput,
        plain_text=True, **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/results", reports.post_results, "Add results",
        list[ResultInput] | ResultInput, **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/events", reports.post_events,
        "Add logs, results and progress, kept in order",
        list[LogInput | ResultInput | ProgressInput] | LogInput | ResultInput | ProgressInput, **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/progress", reports.post_progress, "Report progress", ProgressInput,
        {202: reports.Accepted}, (404, 409, 413, 415, 422),
    ),
    Endpoint(
        "PUT", "/runs/{id}/progress", reports.post_progress, "Report progress", ProgressInput,
        {202: reports.Accepted}, (404, 409, 413, 415, 422),
    ),
    Endpoint(
        "POST", "/runs/{id}/heartbeat", reports.post_heartbeat, "Report that a run is alive", None,
        {200: reports.Accepted}, (404, 409),
    ),
    Endpoint(
        "GET", "/runs/{id}/logs", history.get_logs, "A run's log entries by seq", None,
        {200: history.LogList}, (400, 404), ("after", "before", "limit", "level", "stream", "q"),
    ),
    Endpoint(
        "GET", "/runs/{id}/results", history.get_results, "A run's results by seq", None,
        {200: history.ResultList}, (400, 404), ("after", "before", "limit", "key"),
    ),
    Endpoint(
        "GET", "/instances", instances.list_instances, "Instances, newest first", None,
        {200: instances.InstanceList}, (400,), ("limit", "before", "name"),
    ),
    Endpoint(
        "POST", "/instances", instances.create_instance, "Create an instance", InstanceInput,
        {201: Instance}, (409, 413, 422),
    ),
    Endpoint(
        "GET", "/instances/{id}", instances.get_instance, "An instance", None,
        {200: InstanceSummary}, (404,),
    ),
    Endpoint(
        "PUT", "/instances/{id}", instances.put_instance, "Create or replace an instance",
        InstanceInput, {200: Instance, 201: Instance}, (413, 422),
    ),
    Endpoint(
        "PATCH", "/instances/{id}", instances.patch_instance, "Change an instance", InstancePatch,
        {200: Instance}, (404, 413, 422),
    ),
    Endpoint(
        "DELETE", "/instances/{id}", instances.delete_instance,
        "Delete an instance and its runs", None, {204: None}, (404, 409),
    ),
    Endpoint(
        "GET", "/instances/{id}/runs", runs.list_runs,
        "An instance's runs, newest first", None, {200: runs.RunList}, (400, 404),
        ("limit", "before", "status"),
    ),
    Endpoint(
        "POST", "/instances/{id}/runs", runs.create_run, "Create a run", RunInput,
        {200: RunState, 201: RunState}, (404, 409, 413, 422),
    ),
    Endpoint(
        "GET", "/runs", runs.list_runs, "Runs, newest first", None, {200: runs.RunList}, (400,),
        ("limit", "before", "status"),
    ),
    Endpoint("GET", "/runs/{id}", runs.get_run, "A run", None, {200: RunDetail}, (404,)),
    Endpoint(
        "PATCH", "/runs/{id}", runs.patch_run, "Change a run's name, tags, notes or metadata", RunPatch,
        {200: RunState}, (404, 413, 422),
    ),
    Endpoint(
        "DELETE", "/runs/{id}", runs.delete_run, "Delete a run with its entries", None,
        {204: None}, (404, 409),
    ),
    Endpoint("POST", "/runs/{id}/start", runs.start_run, "Start a pending run", **_TRANSITION),
    Endpoint("POST", "/runs/{id}/complete", runs.complete_run, "Complete a run", **_TRANSITION),
    Endpoint(
        "POST", "/runs/{id}/fail", runs.fail_run, "Fail a run", runs.Failure, {200: RunState},
        (404, 409, 413, 422),
    ),
    Endpoint("POST", "/runs/{id}/cancel", runs.cancel_run, "Ask a run to end", **_TRANSITION),
    Endpoint(
        "POST", "/runs/{id}/cancelled", runs.run_cancelled,
        "Report that a run has ended because it was cancelled", **_TRANSITION,
    ),
    Endpoint("GET", "/healthz", status.get_health, "Whether the process is alive", None, {200: str}),
    Endpoint("GET", "/readyz", status.get_ready, "Whether events are being stored", None, {200: str}),
    Endpoint("GET", "/metrics", metrics.get_metrics, "Metrics for Prometheus", None, {200: str}),
    Endpoint("GET", "/openapi.json", status.get_openapi, "This OpenAPI document", None, {200: dict}),
)  # fmt: skip


def routes(open_streams: set[EventStream]) -> list[Route]:
    """The routes of streams, of all endpoints and of the page."""
    streams = StreamEndpoint(open_streams)
    by_path: dict[str, dict[str, Handler]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint.handler
    return [
        Route("/events", streams, methods=["GET"]),
        Route("/events/{topic}", streams, methods=["GET"]),
        *(Route(path, _dispatch(of), methods=list(of)) for path, of in by_path.items()),
        *pages.ROUTES,
    ]


def _dispatch(handlers: dict[str, Handler]) -> Handler:
    async def endpoint(request: Request) -> Response:
        if request.method not in SAFE and _is_cross_site(request):
            return Problem(403, "the origin of this page is not in ATHANOR_ALLOWED_ORIGINS")
        bodies: Bodies = request.app.state.bodies
        with bodies.counted(request):
            # the handler of GET answers HEAD
            return await handlers[request.method if request.method in handlers else "GET"](request)

    return endpoint


SAFE = ("GET", "HEAD")


def _is_cross_site(request: Request) -> bool:
    """Whether a browser sends this for a page of another site that is not allowed to write."""
    if request.headers.get("sec-fetch-site") != "cross-site":
        return False
    allowed: list[str] = request.app.state.allowed_origins
    return "*" not in allowed and request.headers.get("origin", "") not in allowed
