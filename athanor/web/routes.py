"""The table of endpoints, from which the routes and the OpenAPI document are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..access.grants import Action
from ..protocol.entries import LogInput, ProgressInput, ResultInput
from ..protocol.inputs import InstanceInput, InstancePatch, RunInput, RunPatch
from ..protocol.records import Instance, InstanceSummary, RunDetail, RunState
from ..protocol.topics import Topic
from . import curves, history, instances, login, metrics, pages, reports, runs, status
from .bodies import Bodies
from .gate import SAFE, audit
from .permission import permission_of
from .streams import StreamEndpoint

Handler = Callable[[Request], Awaitable[Response]]

CHECKED, OPEN = "checked by the handler", "open"


class Endpoint(NamedTuple):
    """One method of one path.

    `resource` is what the caller needs a permission for: `run` or `instance` is the topic of the
    `id` in the path, `CHECKED` leaves the question to the handler, `OPEN` asks nothing; anything
    else is the resource itself. `responses` maps the statuses of success to the types of their
    bodies; `errors` are the statuses of refusals, except those of the gate (400, 401, 403, 421, 429)
    and 500 and 503, which any endpoint may send.
    """

    method: str
    path: str
    handler: Handler
    resource: str
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
        "POST", "/runs/{id}/logs", reports.post_logs, "run", "Add log entries",
        list[LogInput] | LogInput,
        plain_text=True, **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/results", reports.post_results, "run", "Add results",
        list[ResultInput] | ResultInput, **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/events", reports.post_events, "run",
        "Add logs, results and progress, kept in order",
        list[LogInput | ResultInput | ProgressInput] | LogInput | ResultInput | ProgressInput,
        **_APPEND,
    ),
    Endpoint(
        "POST", "/runs/{id}/progress", reports.post_progress, "run", "Report progress", ProgressInput,
        {202: reports.Accepted}, (404, 409, 413, 415, 422),
    ),
    Endpoint(
        "PUT", "/runs/{id}/progress", reports.post_progress, "run", "Report progress", ProgressInput,
        {202: reports.Accepted}, (404, 409, 413, 415, 422),
    ),
    Endpoint(
        "POST", "/runs/{id}/heartbeat", reports.post_heartbeat, "run",
        "Report that a run is alive", None, {200: reports.Accepted}, (404, 409),
    ),
    Endpoint(
        "GET", "/runs/{id}/logs", history.get_logs, "run", "A run's log entries by seq", None,
        {200: history.LogList}, (400, 404), ("after", "before", "limit", "level", "stream", "q", "exact"),
    ),
    Endpoint(
        "GET", "/runs/{id}/results", history.get_results, "run", "A run's results by seq", None,
        {200: history.ResultList}, (400, 404), ("after", "before", "limit", "key", "exact"),
    ),
    Endpoint(
        "GET", "/runs/{id}/metrics", curves.get_metrics, "run", "What is known of each key of a run",
        None, {200: curves.MetricList}, (400, 404), ("after", "limit"),
    ),
    Endpoint(
        "GET", "/runs/{id}/curves", curves.get_run_curves, "run", "Curves of a run's keys", None,
        {200: curves.CurveList}, (400, 404), ("key", "points", "x", "from", "to"),
    ),
    Endpoint(
        "GET", "/curves", curves.get_curves, CHECKED, "Curves of several runs", None,
        {200: curves.CurveList}, (400, 404), ("run", "key", "points", "x", "from", "to"),
    ),
    Endpoint(
        "GET", "/instances/{id}/metrics", curves.get_keys, "instance", "The keys of an instance's runs",
        None, {200: curves.KeyList}, (400, 404), ("after", "limit"),
    ),
    Endpoint(
        "GET", "/instances", instances.list_instances, CHECKED, "Instances, newest first", None,
        {200: instances.InstanceList}, (400,), ("limit", "before", "name"),
    ),
    Endpoint(
        "POST", "/instances", instances.create_instance, CHECKED, "Create an instance", InstanceInput,
        {201: Instance}, (409, 413, 422),
    ),
    Endpoint(
        "GET", "/instances/{id}", instances.get_instance, "instance", "An instance", None,
        {200: InstanceSummary}, (404,),
    ),
    Endpoint(
        "PUT", "/instances/{id}", instances.put_instance, "instance", "Create or replace an instance",
        InstanceInput, {200: Instance, 201: Instance}, (413, 422),
    ),
    Endpoint(
        "PATCH", "/instances/{id}", instances.patch_instance, "instance", "Change an instance",
        InstancePatch, {200: Instance}, (404, 413, 422),
    ),
    Endpoint(
        "DELETE", "/instances/{id}", instances.delete_instance, "instance",
        "Delete an instance and its runs", None, {204: None}, (404, 409),
    ),
    Endpoint(
        "GET", "/instances/{id}/runs", runs.list_runs, "instance",
        "An instance's runs, newest first", None, {200: runs.RunList}, (400, 404),
        ("limit", "before", "status", "summary"),
    ),
    Endpoint(
        "POST", "/instances/{id}/runs", runs.create_run, CHECKED, "Create a run", RunInput,
        {200: RunState, 201: RunState}, (404, 409, 413, 422),
    ),
    Endpoint(
        "GET", "/runs", runs.list_runs, CHECKED, "Runs, newest first", None, {200: runs.RunList},
        (400,), ("limit", "before", "status", "summary"),
    ),
    Endpoint("GET", "/runs/{id}", runs.get_run, "run", "A run", None, {200: RunDetail}, (404,)),
    Endpoint(
        "PATCH", "/runs/{id}", runs.patch_run, "run",
        "Change a run's name, tags, notes or metadata", RunPatch,
        {200: RunState}, (404, 413, 422),
    ),
    Endpoint(
        "DELETE", "/runs/{id}", runs.delete_run, "run", "Delete a run with its entries", None,
        {204: None}, (404, 409),
    ),
    Endpoint("POST", "/runs/{id}/start", runs.start_run, "run", "Start a pending run", **_TRANSITION),
    Endpoint(
        "POST", "/runs/{id}/complete", runs.complete_run, "run", "Complete a run", **_TRANSITION
    ),
    Endpoint(
        "POST", "/runs/{id}/fail", runs.fail_run, "run", "Fail a run", runs.Failure, {200: RunState},
        (404, 409, 413, 422),
    ),
    Endpoint("POST", "/runs/{id}/cancel", runs.cancel_run, "run", "Ask a run to end", **_TRANSITION),
    Endpoint(
        "POST", "/runs/{id}/cancelled", runs.run_cancelled, "run",
        "Report that a run has ended because it was cancelled", **_TRANSITION,
    ),
    Endpoint(
        "GET", "/login", login.get_login, OPEN, "Who is logged in", None, {200: login.Login}, (401,),
    ),
    Endpoint(
        "POST", "/login", login.post_login, OPEN, "Log in: a token for a cookie", login.LoginInput,
        {204: None}, (401, 413, 422, 429),
    ),
    Endpoint("DELETE", "/login", login.delete_login, OPEN, "Log out", None, {204: None}),
    Endpoint(
        "GET", "/healthz", status.get_health, OPEN, "Whether the process is alive", None, {200: str},
    ),
    Endpoint(
        "GET", "/readyz", status.get_ready, OPEN, "Whether events are being stored", None, {200: str},
    ),
    Endpoint(
        "GET", "/metrics", metrics.get_metrics, "/metrics", "Metrics for Prometheus",
        None, {200: str},
    ),
    Endpoint(
        "GET", "/openapi.json", status.get_openapi, "/openapi.json", "This OpenAPI document",
        None, {200: dict},
    ),
)  # fmt: skip


def routes(streams: StreamEndpoint) -> list[Route]:
    """The routes of streams, of all endpoints and of the page."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for endpoint in ENDPOINTS:
        by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
    return [
        Route("/events", streams, methods=["GET"]),
        Route("/events/{topic}", streams, methods=["GET"]),
        *(Route(path, _dispatch(of), methods=list(of)) for path, of in by_path.items()),
        *pages.ROUTES,
    ]


def _dispatch(endpoints: dict[str, Endpoint]) -> Handler:
    async def respond(request: Request) -> Response:
        # the handler of GET answers HEAD
        endpoint = endpoints[request.method if request.method in endpoints else "GET"]
        permission = permission_of(request)
        if endpoint.resource not in (CHECKED, OPEN):
            action: Action = "read" if request.method in SAFE else "write"
            await permission.require(action, _resource(endpoint, request))
        try:
            response = await endpoint.handler(request)
        finally:
            # the request's body is in memory no more
            bodies: Bodies = request.app.bodies
            bodies.release(request)
        if request.method not in SAFE and endpoint.handler not in REPORTS and permission.caller:
            name = ascii(permission.caller.name)[1:-1]
            audit.info(
                "%s: %s %s: %d",
                name,
                request.method,
                ascii(request.scope["path"])[1:-1],
                response.status_code,
            )
        return response

    return respond


def _resource(endpoint: Endpoint, request: Request) -> str:
    if endpoint.resource in ("run", "instance"):
        return str(Topic(endpoint.resource, request.path_params["id"]))
    return endpoint.resource


REPORTS = frozenset(
    {
        *(reports.post_logs, reports.post_results, reports.post_events),
        *(reports.post_progress, reports.post_heartbeat),
    }
)
"""What producers send all the time: not written to the audit log."""
