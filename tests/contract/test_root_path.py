"""Root paths: every way in which servers, proxies and hosts hand a prefix on leads to Athanor."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from athanor import Settings
from athanor.web.application import Application, create_app
from athanor.web.embedding import wrap
from athanor.web.root_path import OWN, split

from ..support.service import Service, new_run


async def own(request: Request) -> Response:
    return PlainTextResponse("own")


def host(athanor: Application, place: str, prefix: str) -> Any:
    """Athanor by itself, mounted or wrapped at `prefix`, or mounted in something mounted."""
    routes: list[Any] = [Route("/own", own)]
    if place == "alone":
        return athanor
    if place == "mount":
        return Starlette(routes=[*routes, Mount(prefix, app=athanor)])
    if place == "nested":
        inner = Starlette(routes=[Mount(prefix.replace("/in", "", 1), app=athanor)])
        return Starlette(routes=[*routes, Mount("/in", app=inner)])
    return wrap(Starlette(routes=routes), prefix, athanor, authorize=None)


class Server:
    """What stands between a browser and an application: a proxy, and a server with a root path.

    The proxy removes `root` from the path or keeps it. The server puts its root path before the
    path (uvicorn), or only says what it is (Hypercorn, `FastAPI(root_path=…)`).
    """

    def __init__(self, app: Any, root: str, strips: bool, server: str) -> None:
        self.app, self.root, self.strips, self.server = app, root, strips, server

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        if self.strips:
            assert path.startswith(self.root), path
            path = path[len(self.root) :]
        if self.server == "uvicorn":
            path = self.root + path
        root = "" if self.server == "no root" else self.root
        await self.app({**scope, "path": path, "root_path": root}, receive, send)


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def athanor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Application]:
    path = tmp_path_factory.mktemp("root") / "athanor.db"
    app = create_app(Settings(database_url=f"sqlite:///{path}"))
    async with app.running():
        yield app


async def check(app: Any, base: str, own_path: str | None) -> None:
    """The page, an asset of it, a write, the next page and a stream below `base`, as a browser asks."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        page = await client.get(f"{base}/")
        assert page.status_code == 200, page.text
        asset = re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)[0]
        assert (await client.get(f"{base}/{asset}")).status_code == 200
        instance = (await client.post(f"{base}/instances", json={"name": "x"})).json()
        runs = f"{base}/instances/{instance['id']}/runs"
        run = (await client.post(runs)).json()["id"]
        await client.post(f"{base}/runs/{run}/start")
        await client.post(
            f"{base}/runs/{run}/logs", content="a\nb\n", headers={"Content-Type": "text/plain"}
        )
        await client.post(f"{base}/runs/{run}/complete")
        first = (await client.get(f"{base}/runs/{run}/logs?limit=1")).json()
        assert first["next"].startswith(f"{base}/runs/")
        assert (await client.get(first["next"])).json()["logs"][0]["message"] == "b"
        stream = await client.get(f"{base}/events/experiments:run:{run}?last_event_id=0")
        assert "event: run_completed" in stream.text
        assert f"{base}/nothing" in (await client.get(f"{base}/nothing")).json()["detail"]
        if own_path is not None:
            assert (await client.get(own_path)).text == "own"
            assert (await client.get(f"{own_path}/nothing")).status_code == 404


ROOTS = ("/a", "/site/lab", "/athanor")
PREFIXES = {"alone": "", "mount": "/athanor", "nested": "/in/athanor", "wrap": "/athanor"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("server", "place", "root"),
    [
        *(("uvicorn", place, root) for place in PREFIXES for root in ("", *ROOTS, "/runs")),
        # Starlette's own nested mounts find nothing there
        *(("named", place, root) for place in ("alone", "mount", "wrap") for root in ROOTS[:2]),
        # elsewhere, the path would read as one that begins with its root path, as ASGI asks for
        *(("named", "alone", "/athanor"), ("named", "mount", "/runs"), ("named", "wrap", "/runs")),
    ],
)
async def test_root_path_of_a_proxy_that_removes_it(
    athanor: Application, place: str, root: str, server: str
) -> None:
    prefix = PREFIXES[place]
    app = Server(host(athanor, place, prefix), root, True, server)
    await check(app, root + prefix, f"{root}/own" if prefix else None)


@pytest.mark.anyio
@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("place", PREFIXES)
async def test_root_path_of_a_proxy_that_keeps_it(athanor: Application, place: str, root: str) -> None:
    prefix = PREFIXES[place]
    # a server that follows ASGI, whose root path is the beginning of the path
    app = Server(host(athanor, place, prefix), root, False, "named")
    await check(app, root + prefix, f"{root}/own" if prefix else None)
    if place in ("alone", "wrap") and root != prefix:
        # uvicorn repeats it; a host's own router finds nothing then
        app = Server(host(athanor, place, prefix), root, False, "uvicorn")
        await check(app, root + prefix, None)
    if place in ("mount", "wrap"):
        # without a root path, the host has Athanor at the whole path
        app = Server(host(athanor, place, root + prefix), root, False, "no root")
        await check(app, root + prefix, None)


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        *(("", "/runs", ("", "/runs")), ("/a", "/a/runs", ("/a", "/runs")), ("/a", "/a", ("/a", ""))),
        *(("/a", "/athanor/x", ("/a", "/athanor/x")), ("/a/", "/a//runs", ("/a", "/runs"))),
        *(("/a/", "/a/runs", ("/a", "/runs")), ("/a/", "/runs", ("/a", "/runs"))),
        *(("/runs", "/runs/runs/x", ("/runs", "/runs/x")), ("/a", "/a/a/runs", ("/a", "/runs"))),
    ],
)
def test_root_path_is_told_from_a_path_that_begins_like_it(
    root: str, path: str, expected: tuple[str, str]
) -> None:
    assert split({"type": "http", "root_path": root, "path": path}, OWN) == expected


def test_uvicorn_with_a_root_path_serves_the_mounted_and_the_wrapped(tmp_path: Path) -> None:
    for target in ("fastapi_host:app", "django_host:app"):
        folder = tmp_path / target.partition(":")[0]
        folder.mkdir()
        with contextlib.closing(_UnderRoot(folder, target)) as service:
            service.start()
            client = service.client()
            client.base_url = httpx.URL(f"{service.url}/athanor/")
            run = new_run(client)
            client.post(f"/runs/{run}/logs", json=[{"message": "a"}, {"message": "b"}])
            following = client.get(f"/runs/{run}/logs?limit=1").json()["next"]
            assert following.startswith(f"/a/athanor/runs/{run}/logs?")
            assert service.client().get("/athanor/").status_code == 200
            assert service.client().get("/own").status_code == 200
            moved = service.client().get("/athanor")
            assert moved.headers["Location"].endswith("/a/athanor/")


class _UnderRoot(Service):
    """A host under `uvicorn --root-path /a`; the tests send what a proxy sends that removes `/a`."""

    def __init__(self, folder: Path, target: str) -> None:
        super().__init__(folder)
        self._target = target

    def spawn(self) -> subprocess.Popen[bytes]:
        target = f"tests.support.hosts.{self._target}"
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "uvicorn", target, "--port", "0", "--root-path", "/a"],
                env=self.environment(),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
