"""A host's own decision in the place of tokens, and what is wrapped around a host's login."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response

import athanor
from athanor import ConfigurationError, Settings, create_app

pytestmark = pytest.mark.anyio


async def host(scope: Any, receive: Any, send: Any) -> None:
    """A host that lets nobody in."""
    await Response("who are you?", 401)(scope, receive, send)


class Decisions:
    """Lets users read and write what begins with their name, and an administrator everything."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, scope: Any, action: str, resource: str) -> bool:
        self.asked.append((action, resource))
        user = dict(scope["headers"]).get(b"x-user", b"").decode()
        if not user:
            return False
        if user == "admin" or resource in ("experiments:runs", "experiments:instances"):
            return True
        _, _, id = resource.rpartition(":")
        return id.startswith(user)


@contextlib.asynccontextmanager
async def client_of(app: Any, user: str = "", path: str = "") -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-User": user} if user else {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url=f"http://site.example{path}", headers=headers
    ) as client:
        yield client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Any, Decisions]]:
    """An application that is wrapped around a host, and has a run of each of two users."""
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"))
    decisions = Decisions()
    async with app.running():
        for user in ("ann", "bob"):
            instance = await app.engine.create_instance(user, id=f"{user}-i")
            await app.engine.create_run(instance.id, id=f"{user}-r")
        yield athanor.wrap(host, "/athanor", app, authorize=decisions), decisions


def test_wrap_does_not_start_without_a_decision(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"))
    with pytest.raises(ConfigurationError, match="authorize="):
        athanor.wrap(host, "/athanor", app)
    wrapped: Any = athanor.wrap(host, "/athanor", app, authorize=None)
    assert wrapped.athanor is app


async def test_nobody_is_let_in_who_is_not_authorized(served: tuple[Any, Decisions]) -> None:
    app, decisions = served
    async with client_of(app) as client:
        assert (await client.get("/own")).status_code == 401
        for path in ("/runs", "/instances", "/runs/ann-r", "/events/experiments:runs", "/metrics"):
            assert (await client.get(f"/athanor{path}")).status_code == 403, path
        assert (await client.post("/athanor/runs/ann-r/start")).status_code == 403
        assert ("write", "experiments:run:ann-r") in decisions.asked
        assert ("read", "/metrics") in decisions.asked
        # what the page needs to show anything
        for path in ("/healthz", "/static/app.js", "/"):
            assert (await client.get(f"/athanor{path}")).status_code == 200, path


async def test_lists_and_streams_show_what_is_authorized(served: tuple[Any, Decisions]) -> None:
    app, _ = served
    async with client_of(app, "ann", "/athanor") as client:
        assert [run["id"] for run in (await client.get("/runs")).json()["runs"]] == ["ann-r"]
        found = (await client.get("/instances")).json()["instances"]
        assert [one["id"] for one in found] == ["ann-i"]
        assert (await client.get("/runs/ann-r")).status_code == 200
        assert (await client.post("/runs/ann-r/start")).status_code == 200
        for path in ("/runs/bob-r", "/instances/bob-i/runs", "/events/experiments:run:bob-r"):
            assert (await client.get(path)).status_code == 403, path
        assert (await client.post("/instances/bob-i/runs", json={"id": "ann-2"})).status_code == 403
        assert (await client.post("/instances/ann-i/runs", json={"id": "bob-2"})).status_code == 403
        assert (await client.post("/instances/ann-i/runs", json={"id": "ann-2"})).status_code == 201
        assert (await client.post("/runs/ann-r/complete")).status_code == 200
        stream = await client.get("/events/experiments:run:ann-r?last_event_id=0")
        assert "run_completed" in stream.text
    async with client_of(app, "admin", "/athanor") as client:
        assert len((await client.get("/runs")).json()["runs"]) == 3
        assert (await client.get("/metrics")).status_code == 200


async def test_the_stream_of_all_runs_leaves_out_what_is_not_authorized(
    served: tuple[Any, Decisions],
) -> None:
    app, _ = served
    received: list[bytes] = []

    class Enough(Exception):
        pass

    async def send(message: Any) -> None:
        received.append(message.get("body", b""))
        if b"run_started" in received[-1]:
            raise Enough

    async def receive() -> Any:
        import asyncio

        await asyncio.Event().wait()

    scope = {
        **{"type": "http", "method": "GET", "path": "/athanor/events/experiments:runs", "scheme": "http"},
        **{"query_string": b"last_event_id=0", "root_path": "", "http_version": "1.1"},
        "headers": [(b"host", b"site.example"), (b"x-user", b"ann")],
    }
    engine = app.athanor.engine
    for user in ("bob", "ann"):
        await engine.start_run(f"{user}-r")
    with pytest.raises((Enough, ExceptionGroup)):
        await app(scope, receive, send)
    text = b"".join(received)
    assert b"ann-r" in text
    assert b"bob" not in text


async def test_a_mount_in_a_host_is_behind_its_middleware_and_may_have_authorize(tmp_path: Path) -> None:
    decisions = Decisions()
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}"), decisions)
    site = Starlette()
    site.mount("/athanor", app)
    async with app.running(), client_of(site, path="/athanor") as client:
        assert (await client.get("/runs")).status_code == 403
        assert (await client.get("/runs", headers={"X-User": "ann"})).status_code == 200
