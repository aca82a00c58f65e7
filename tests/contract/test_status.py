"""The endpoints for the state of the service, its metrics and its OpenAPI document."""

from __future__ import annotations

import re

import httpx
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route

from athanor import Settings
from athanor.web.open_streams import OpenStreams
from athanor.web.routes import routes
from athanor.web.streams import StreamEndpoint

from ..support.follower import wait_until
from ..support.service import new_run


def test_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"


def test_metrics_count_events_and_subscribers(client: httpx.Client) -> None:
    def value(name: str, **labels: str) -> float:
        families = text_string_to_metric_families(client.get("/metrics").text)
        samples = [s for family in families for s in family.samples if s.name == name]
        return sum(s.value for s in samples if labels.items() <= s.labels.items())

    before = value("athanor_events_total", type="run_log")
    run = new_run(client)
    wait_until(lambda: value("athanor_subscribers") == 0, "the end of other tests' streams")
    with client.stream("GET", f"/events/experiments:run:{run}") as response:
        chunks = response.iter_raw()
        next(chunks)
        assert value("athanor_subscribers") == 1
        client.post(f"/runs/{run}/logs", json=[{"message": "x"}] * 7)
    assert value("athanor_events_total", type="run_log") == before + 7
    assert value("athanor_ready") == 1
    assert value("athanor_flushes_total") > 0
    assert value("process_resident_memory_bytes") > 0


def test_openapi_is_valid_and_lists_every_route(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    validate(document)
    listed = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    }
    routed = {
        (method, route.path)
        for route in routes(StreamEndpoint(OpenStreams(Settings())))
        if isinstance(route, Route) and not re.match(r"/$|/static", route.path)
        for method in route.methods or ()
        if method != "HEAD"
    }
    assert listed == routed


def test_openapi_describes_the_responses(client: httpx.Client) -> None:
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    run = client.get(f"/runs/{new_run(client)}").json()
    assert set(run) == set(schemas["RunDetail"]["properties"])
    assert "message" in schemas["LogInput"]["required"]
