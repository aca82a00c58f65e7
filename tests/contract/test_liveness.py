"""Signs of life: a silent run is shown as stale, and keeps its status."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from ..support.follower import wait_until
from ..support.service import Service, new_run, running


@pytest.fixture
def run(client: httpx.Client) -> str:
    return new_run(client)


def test_heartbeat_is_a_sign_of_life_and_returns_a_cancel_request(client: httpx.Client, run: str) -> None:
    response = client.post(f"/runs/{run}/heartbeat")
    assert response.status_code == 200
    assert response.json() == {"accepted": 0, "last_event_id": None, "cancel_requested": False}
    client.post(f"/runs/{run}/cancel")
    assert client.post(f"/runs/{run}/heartbeat").json()["cancel_requested"] is True
    client.post(f"/runs/{run}/cancelled")
    assert client.post(f"/runs/{run}/heartbeat").status_code == 409
    assert client.post("/runs/nobody/heartbeat").status_code == 404


def test_silent_run_is_stale_until_its_next_sign_of_life(tmp_path: Path) -> None:
    with running(tmp_path, stale_after=1) as service:
        client = service.client()
        run, idle = new_run(client), new_run(client, start=False)

        def is_stale(id: str = run) -> bool:
            return bool(client.get(f"/runs/{id}").json()["stale"])

        signs_of_life: list[tuple[str, str, bytes]] = [
            ("POST", "heartbeat", b""),
            ("POST", "logs", b'{"message": "hello"}'),
            ("PUT", "progress", b'{"current": 1}'),
        ]
        for method, end, body in signs_of_life:
            wait_until(is_stale, "the run to be stale")
            listed = {each["id"]: each for each in client.get("/runs").json()["runs"]}
            assert (listed[run]["stale"], listed[run]["status"]) == (True, "running")
            client.request(method, f"/runs/{run}/{end}", content=body).raise_for_status()
            assert not is_stale()
        assert not is_stale(idle)
        wait_until(is_stale, "the run to be stale")
        assert client.post(f"/runs/{run}/complete").json()["stale"] is False
        assert not is_stale()


def test_heartbeats_keep_a_run_running_after_a_cancel_request(tmp_path: Path) -> None:
    with running(tmp_path, cancel_timeout=1, keepalive=0.5) as service:
        client = service.client()
        active, silent = new_run(client), new_run(client)
        client.post(f"/runs/{active}/cancel")
        client.post(f"/runs/{silent}/cancel")

        def silent_has_ended() -> bool:
            client.post(f"/runs/{active}/heartbeat")
            return bool(client.get(f"/runs/{silent}").json()["status"] == "cancelled")

        wait_until(silent_has_ended, "the end of the silent run")
        assert client.get(f"/runs/{active}").json()["status"] == "running"


def test_no_run_is_stale_just_after_a_restart(service: Service) -> None:
    run = new_run(service.client())
    service.kill()
    service.start()
    assert service.client().get(f"/runs/{run}").json()["stale"] is False


def test_instances_are_found_by_name(client: httpx.Client) -> None:
    for name in ("by name", "by name", "by name too"):
        client.post("/instances", json={"name": name})
    found = client.get("/instances", params={"name": "by name"}).json()["instances"]
    assert [instance["name"] for instance in found] == ["by name"] * 2
    page = client.get("/instances", params={"name": "by name", "limit": 1}).json()
    assert client.get(page["next"]).json()["instances"] == found[1:]
    assert client.get("/instances", params={"name": "by"}).json()["instances"] == []
