"""The endpoints for instances."""

from __future__ import annotations

import re
import sqlite3

import httpx

from ..support.follower import wait_until
from ..support.service import Service, new_run

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def test_post_creates_one_with_an_id_that_sorts_by_time(client: httpx.Client) -> None:
    responses = [client.post("/instances", json={"name": f"n{n}"}) for n in range(20)]
    assert {response.status_code for response in responses} == {201}
    ids = [response.json()["id"] for response in responses]
    assert [id[:11] for id in ids] == sorted(id[:11] for id in ids)
    assert len(set(ids)) == 20
    body = responses[0].json()
    assert TIME.fullmatch(body["created_at"])
    assert {k: body[k] for k in ("name", "experiment_module", "description", "configuration")} == {
        **{"name": "n0", "experiment_module": None, "description": None, "configuration": {}}
    }
    assert client.get(f"/instances/{ids[0]}").json() == {
        **body,
        **{"run_count": 0, "last_run_at": None, "last_run_status": None},
    }


def test_put_creates_and_replaces_and_patch_changes(client: httpx.Client) -> None:
    full = {
        "name": "ü\u2028x",
        "experiment_module": "m.py",
        "description": "d",
        "configuration": {"lr": 0.1, "deep": [1, None]},
    }
    first = client.put("/instances/put-me", json=full)
    assert first.status_code == 201
    assert {name: first.json()[name] for name in full} == full
    same = client.put("/instances/put-me", json=client.get("/instances/put-me").json())
    assert (same.status_code, same.json()) == (200, first.json())
    changed = client.patch("/instances/put-me", json={"configuration": {}, "description": None})
    assert changed.status_code == 200
    assert changed.json()["name"] == full["name"]
    assert changed.json()["configuration"] == {}
    assert changed.json()["description"] is None
    assert changed.json()["updated_at"] > first.json()["updated_at"]
    assert changed.json()["created_at"] == first.json()["created_at"]
    replaced = client.put("/instances/put-me", json={"name": "new"})
    assert replaced.status_code == 200
    assert replaced.json()["experiment_module"] is None
    assert client.patch("/instances/nobody", json={}).status_code == 404


def test_summary_counts_its_runs(client: httpx.Client) -> None:
    run = new_run(client)
    instance = client.get(f"/runs/{run}").json()["instance_id"]
    client.post(f"/runs/{run}/complete")
    newest = client.post(f"/instances/{instance}/runs").json()
    summary = client.get(f"/instances/{instance}").json()
    assert summary["run_count"] == 2
    assert summary["last_run_at"] == newest["created_at"]
    assert summary["last_run_status"] == "pending"


def test_list_is_newest_first_and_next_leads_through_all_pages(service: Service) -> None:
    client = service.client()
    ids = [client.post("/instances", json={"name": "x"}).json()["id"] for _ in range(7)]
    found: list[str] = []
    path: str | None = "/instances?limit=3"
    pages = 0
    while path:
        page = client.get(path).json()
        found += [instance["id"] for instance in page["instances"]]
        path = page["next"]
        pages += 1
    assert found == ids[::-1]
    assert pages == 3
    assert client.get("/instances?limit=7").json()["next"] is None


def test_delete_removes_runs_and_entries_and_frees_the_ids(service: Service) -> None:
    client = service.client()
    client.put("/instances/i", json={"name": "i"})
    for run in ("a", "b"):
        client.post("/instances/i/runs", json={"id": run})
    client.post("/runs/a/start")
    client.post("/runs/a/logs", json=[{"message": str(n)} for n in range(5000)])
    assert client.delete("/instances/i").status_code == 409
    client.post("/runs/a/complete")
    assert client.delete("/instances/i").status_code == 204
    assert client.delete("/instances/i").status_code == 404
    for path in ("/instances/i", "/runs/a", "/runs/b", "/runs/a/logs"):
        assert client.get(path).status_code == 404
    assert client.get("/runs").json()["runs"] == []
    # the same ids, while the old entries may not be deleted yet
    client.put("/instances/i", json={"name": "i"})
    client.post("/instances/i/runs", json={"id": "a"})
    client.post("/runs/a/start")
    client.post("/runs/a/logs", json={"message": "new"})
    logs = client.get("/runs/a/logs").json()
    assert (logs["total"], logs["logs"][0]["seq"], logs["logs"][0]["message"]) == (1, 1, "new")

    def left() -> int:
        connection = sqlite3.connect(service.database)
        count = connection.execute("SELECT count(*) FROM events WHERE type = 'run_log'").fetchone()[0]
        connection.close()
        return int(count)

    wait_until(lambda: left() == 1, "the deletion of the old entries")
