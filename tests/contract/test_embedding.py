"""Athanor in FastAPI, Litestar and Django, and the engine without HTTP."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from athanor import Athanor, Conflict, InvalidInput, NotFound, NotRunning, NotStarted, Settings
from athanor.protocol.events import (
    Event,
    RunCancelled,
    RunLog,
    RunLogs,
    RunProgress,
    RunResult,
    RunStarted,
)

from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.service import ROOT, Service, new_run

HOSTS = {"fastapi": "fastapi_host:app", "litestar": "litestar_host:app", "django": "django_host:app"}


@contextmanager
def hosted(folder: Path, target: str) -> Iterator[Service]:
    """A host application under uvicorn; `url` is the address of the host."""
    service = Service(folder)
    command = [sys.executable, "-m", "uvicorn", f"tests.support.hosts.{target}", "--port", "0"]
    with service.log.open("wb") as log:
        service.process = subprocess.Popen(
            command, cwd=ROOT, env=service.environment(), stdout=log, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: "Uvicorn running" in service.log.read_text(), target)
        found = re.search(r"http://127\.0\.0\.1:(\d+)", service.log.read_text())
        assert found is not None
        service.port = int(found[1])
        yield service
    finally:
        service.close()


@pytest.mark.parametrize("host", HOSTS)
def test_host_serves_its_own_and_athanor_side_by_side(tmp_path: Path, host: str) -> None:
    with hosted(tmp_path, HOSTS[host]) as service:
        own = service.client()
        assert own.get("/own").json() == {"host": host}
        client = service.client()
        client.base_url = httpx.URL(f"{service.url}/athanor/")
        run = new_run(client)
        follower = Follower(service.url, f"/athanor/events/experiments:run:{run}")
        follower.start()
        wait_until(lambda: follower.connections, "the stream")
        client.post(f"/runs/{run}/logs", json=[{"message": "a"}, {"message": "b"}]).raise_for_status()
        wait_until(lambda: follower.seqs == [1, 2], "the lines")
        assert own.get("/own").json() == {"host": host}
        assert own.get("/nothing").status_code == 404
        assert client.get("/nothing").headers["Content-Type"] == "application/problem+json"

        page = own.get("/athanor", follow_redirects=True)
        assert str(page.url).endswith("/athanor/")
        for asset in re.findall(r'(?:href|src)="(static/[^"]+)"', page.text):
            assert own.get(f"/athanor/{asset}").status_code == 200
        following = client.get(f"/runs/{run}/logs?limit=1").json()["next"]
        assert own.get(following).json()["logs"][0]["message"] == "b"

        assert service.terminate(5) == 0
        wait_until(lambda: follower.clean_ends, "a clean end of the stream")
        follower.stopped = True
        assert "Traceback" not in service.log.read_text()


def test_code_of_the_host_receives_the_events_of_a_run(tmp_path: Path) -> None:
    with hosted(tmp_path, HOSTS["fastapi"]) as service:
        client = service.client()
        client.base_url = httpx.URL(f"{service.url}/athanor/")
        run = new_run(client)
        client.post(f"/runs/{run}/logs", json=[{"message": "a"}, {"message": "b"}])
        client.post(f"/runs/{run}/complete")
        received = service.client().get(f"/heard/{run}").json()
        assert received == {"messages": ["a", "b"], "status": "completed"}


def test_mounted_but_not_started_names_the_missing_line(tmp_path: Path) -> None:
    with hosted(tmp_path, "fastapi_host:unstarted") as service:
        for path in ("/athanor/runs", "/athanor/events/experiments:runs", "/athanor/readyz"):
            response = service.client().get(path)
            assert response.status_code == 503
        assert "lifespan=athanor.lifespan" in service.client().get("/athanor/runs").json()["detail"]
        assert service.client().get("/athanor/healthz").status_code == 200


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}", ring_capacity=50)


@pytest.mark.anyio
async def test_engine_is_the_service_without_http(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        instance = await athanor.create_instance("digits", configuration={"lr": 0.1})
        run = await athanor.create_run(instance.id, metadata={"seed": 1})
        received: list[Event] = []

        async def listen() -> None:
            async with athanor.subscribe_to_run(run.id, after="0") as events:
                async for event in events:
                    received.append(event)

        listening = asyncio.ensure_future(listen())
        await athanor.start_run(run.id)
        await athanor.log(run.id, "one \ud800", level="warning", metadata={"at": 1})
        await athanor.result(run.id, "loss", float("nan"), step=3)
        await athanor.progress(run.id, 1, 2, "half")
        assert (await athanor.cancel_run(run.id)).status == "running"
        await athanor.run_cancelled(run.id)
        await asyncio.wait_for(listening, PATIENCE)
        match [event for event in received if not isinstance(event, RunProgress)]:
            case [_, RunStarted(), RunLog(log=log), RunResult(result=result), _, RunCancelled(run=ended)]:
                assert (log.message, log.level, log.metadata) == ("one \ufffd", "warn", {"at": 1})
                assert (result.value, result.step) == ("NaN", 3)
                assert ended.log_count == 1
            case other:
                pytest.fail(str(other))
        with pytest.raises(NotRunning):
            await athanor.log(run.id, "too late")
        with pytest.raises(NotFound):
            await athanor.log("nobody", "x")
        with pytest.raises(Conflict):
            await athanor.complete_run(run.id)
        with pytest.raises(InvalidInput, match=r"\$\.name"):
            await athanor.create_instance("")
        with pytest.raises(InvalidInput, match="level"):
            await athanor.log(run.id, "x", level="loud")  # type: ignore[arg-type]
        with pytest.raises(NotFound):
            async with athanor.subscribe_to_instance("nobody"):
                pass
    with pytest.raises(NotStarted):
        await athanor.log(run.id, "x")


@pytest.mark.anyio
async def test_keep_alives_are_no_events_for_an_embedding_caller(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        instance = await athanor.create_instance("x")
        run = await athanor.create_run(instance.id)
        async with athanor.subscribe_to_run(run.id) as events:
            coming = asyncio.ensure_future(anext(aiter(events)))
            await asyncio.sleep(0)
            # more than one round, so that the subscriber has had a keep-alive
            for _ in range(100):
                athanor.parts.hub.keep_alive()
            await athanor.start_run(run.id)
            assert isinstance(await coming, RunStarted)


@pytest.mark.anyio
async def test_embedding_caller_waits_for_room_and_loses_nothing(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        instance = await athanor.create_instance("x")
        run = await athanor.create_run(instance.id)
        await athanor.start_run(run.id)
        await asyncio.gather(*(athanor.log(run.id, str(n)) for n in range(500)))
        assert (await athanor.complete_run(run.id)).log_count == 500
        seen: list[str] = []
        async with athanor.subscribe_to_run(run.id, after="0") as events:
            async for event in events:
                match event:
                    case RunLogs(logs=logs):
                        seen += [log.message for log in logs]
        assert sorted(map(int, seen)) == list(range(500))


@pytest.mark.anyio
async def test_engine_starts_again_and_a_second_one_on_the_file_does_not(settings: Settings) -> None:
    athanor = Athanor(settings)
    for _ in range(2):
        async with athanor:
            await athanor.create_instance("x")
            with pytest.raises(Exception, match="another Athanor process"):
                await Athanor(settings).start()
