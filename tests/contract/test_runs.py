"""The endpoints for runs: their life, their reports, and reading these again."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.follower import Follower, wait_until
from ..support.service import new_run, running

NDJSON = {"Content-Type": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def run(client: httpx.Client) -> str:
    return new_run(client)


def messages(client: httpx.Client, run: str, query: str = "") -> list[str]:
    return [entry["message"] for entry in client.get(f"/runs/{run}/logs{query}").json()["logs"]]


def test_same_id_again_is_the_same_run(client: httpx.Client) -> None:
    client.put("/instances/twice", json={"name": "x"})
    first = client.post("/instances/twice/runs", json={"id": "twice-1", "metadata": {"seed": 7}})
    assert first.status_code == 201
    assert first.json()["status"] == "pending"
    assert first.json()["metadata"] == {"seed": 7}
    client.post("/runs/twice-1/start")
    again = client.post("/instances/twice/runs", json={"id": "twice-1"})
    assert again.status_code == 200
    assert (again.json()["status"], again.json()["metadata"]) == ("running", {"seed": 7})


def test_life_sets_its_times_and_may_be_repeated(client: httpx.Client) -> None:
    run = new_run(client, start=False)
    started = client.post(f"/runs/{run}/start").json()
    assert started["created_at"] < started["started_at"]
    assert client.post(f"/runs/{run}/start").json() == started
    failed = client.post(f"/runs/{run}/fail", content=b'{"error": "first \\ud800"}').json()
    assert failed["error"] == "first \ufffd"
    assert failed["completed_at"] > failed["started_at"]
    assert client.post(f"/runs/{run}/fail", json={"error": "second"}).json() == failed


def test_lists_are_newest_first_and_filtered(client: httpx.Client) -> None:
    client.put("/instances/lists", json={"name": "x"})
    ids = [client.post("/instances/lists/runs").json()["id"] for _ in range(5)]
    for id in ids[:2]:
        client.post(f"/runs/{id}/start")
    page = client.get("/instances/lists/runs?limit=2").json()
    assert [run["id"] for run in page["runs"]] == ids[:2:-1]
    rest = client.get(client.get(page["next"]).json()["next"]).json()
    assert ([run["id"] for run in rest["runs"]], rest["next"]) == ([ids[0]], None)
    running_ids = [r["id"] for r in client.get("/instances/lists/runs?status=running").json()["runs"]]
    assert running_ids == [ids[1], ids[0]]
    assert {r["status"] for r in client.get("/runs?status=pending").json()["runs"]} == {"pending"}


@pytest.mark.parametrize(
    ("content", "headers", "expected"),
    [
        (b'{"message": "one"}', {}, ["one"]),
        (b'{"message": "one"}', {"Content-Type": "application/json"}, ["one"]),
        (b'{\n  "message":\n    "pretty"\n}', {"Content-Type": "application/json"}, ["pretty"]),
        (b'[{"message": "a"}, {"message": "b"}]', {"Content-Type": "application/json"}, ["a", "b"]),
        (b'{"message": "a"}\n\n{"message": "b"}\r\n', NDJSON, ["a", "b"]),
        (b'{"message": "a"}\n{"message": "b"}', {"Content-Type": "application/json"}, ["a", "b"]),
        (b"plain\n\r\n{not json}\r\nlast", TEXT, ["plain", "", "{not json}", "last"]),
        (b"made by curl -d", {"Content-Type": "application/x-www-form-urlencoded"}, ["made by curl -d"]),
    ],
)
def test_logs_are_accepted_in_every_format(
    client: httpx.Client, run: str, content: bytes, headers: dict[str, str], expected: list[str]
) -> None:
    response = client.post(f"/runs/{run}/logs", content=content, headers=headers)
    assert response.status_code == 201
    assert response.json()["accepted"] == len(expected)
    assert response.json()["cancel_requested"] is False
    assert messages(client, run) == expected


def test_fields_of_entries_are_kept(client: httpx.Client, run: str) -> None:
    at = {"timestamp": "2026-01-02T03:04:05+01:00"}
    levels = {"debug": "debug", "warning": "warn", "warn": "warn", "critical": "error", "error": "error"}
    body = [
        {"message": "m", "level": level, "metadata": {"a": [1, {"b": None}]}, **at} for level in levels
    ]
    client.post(f"/runs/{run}/logs", json=body).raise_for_status()
    entries = client.get(f"/runs/{run}/logs").json()["logs"]
    assert [entry["level"] for entry in entries] == list(levels.values())
    assert entries[0]["metadata"] == {"a": [1, {"b": None}]}
    assert entries[0]["timestamp"] == "2026-01-02T02:04:05.000000Z"
    big = 2**80
    values: list[Any] = [None, 0, -1.5, 1e300, True, "text", [], {"x": [big]}]
    for value in values:
        client.post(f"/runs/{run}/results", json={"key": "k", "value": value, "step": -3})
    results = client.get(f"/runs/{run}/results").json()["results"]
    assert [r["value"] for r in results] == values
    assert {r["step"] for r in results} == {-3}
    assert [r["seq"] for r in results] == list(range(1, 9))


def test_mixed_events_keep_their_order(client: httpx.Client, run: str) -> None:
    kinds = ["log", "result", "log", "log", "result", "result", "log"]
    lines = [
        {"type": "run_log", "message": str(n)}
        if kind == "log"
        else {"type": "run_result", "key": str(n), "value": n}
        for n, kind in enumerate(kinds)
    ]
    lines.insert(3, {"type": "run_progress", "current": 1, "total": 2})
    body = "\n".join(map(json.dumps, lines))
    response = client.post(f"/runs/{run}/events", content=body, headers=NDJSON).json()
    assert response["accepted"] == len(kinds)
    assert client.get(f"/runs/{run}").json()["progress"]["total"] == 2
    client.post(f"/runs/{run}/complete")
    follower = Follower(str(client.base_url), f"/events/experiments:run:{run}", last_id="0")
    follower.run()
    order: list[str] = []
    for _, data in follower.events:
        order += [e["message"] for e in data.get("logs", [data["log"]] if "log" in data else [])]
        order += [e["key"] for e in data.get("results", [data["result"]] if "result" in data else [])]
    assert order == [str(n) for n in range(len(kinds))]


def test_only_progress_is_accepted_as_events(client: httpx.Client, run: str) -> None:
    response = client.post(
        f"/runs/{run}/events", content=b'{"type": "run_progress", "current": 1}', headers=NDJSON
    )
    assert (response.status_code, response.json()["last_event_id"]) == (201, None)


def test_respond_async_is_202_and_arrives(client: httpx.Client, run: str) -> None:
    headers = {"Prefer": "wait=5, respond-async"}
    response = client.post(f"/runs/{run}/logs", json={"message": "later"}, headers=headers)
    assert (response.status_code, response.json()["last_event_id"]) == (202, None)
    assert response.headers["Preference-Applied"] == "respond-async"
    assert client.post(f"/runs/{run}/complete").json()["log_count"] == 1


def test_progress_by_post_and_put_is_202(client: httpx.Client, run: str) -> None:
    for method in ("POST", "PUT"):
        body = {"current": 1.5, "message": "half"}
        response = client.request(method, f"/runs/{run}/progress", json=body)
        assert response.status_code == 202
        assert response.json()["cancel_requested"] is False
    progress = client.get(f"/runs/{run}").json()["progress"]
    assert {k: progress[k] for k in ("current", "total", "message")} == {
        **{"current": 1.5, "total": None, "message": "half"}
    }


def fill(client: httpx.Client, run: str) -> None:
    levels = ("debug", "info", "warn", "error")
    body = [{"message": f"Line {n} 100%_", "level": levels[n % 4]} for n in range(1, 101)]
    client.post(f"/runs/{run}/logs", json=body).raise_for_status()
    results = [{"key": ("loss", "acc")[n % 2], "value": n, "step": n} for n in range(1, 51)]
    client.post(f"/runs/{run}/results", json=results).raise_for_status()


def test_pages_by_seq_forwards_and_backwards(client: httpx.Client, run: str) -> None:
    fill(client, run)

    def seqs(path: str) -> tuple[list[int], str | None, int]:
        page = client.get(path).json()
        return [entry["seq"] for entry in page["logs"]], page["next"], page["total"]

    base = f"/runs/{run}/logs"
    assert seqs(base) == (list(range(1, 101)), None, 100)
    assert seqs(f"{base}?after=90&limit=5") == ([91, 92, 93, 94, 95], f"{base}?after=95&limit=5", 100)
    assert seqs(f"{base}?after=98&limit=5")[:2] == ([99, 100], None)
    found, following, _ = seqs(f"{base}?before=9007199254740991&limit=30")
    assert found == list(range(71, 101))
    while following:
        more, following, _ = seqs(following)
        found = more + found
    assert found == list(range(1, 101))
    assert seqs(f"{base}?after=10&before=13")[0] == [11, 12]
    assert seqs(f"{base}?after=100")[0] == []
    assert seqs(f"{base}?before=1")[:2] == ([], None)


def test_logs_are_filtered_by_level_and_text(client: httpx.Client, run: str) -> None:
    fill(client, run)
    page = client.get(f"/runs/{run}/logs?level=error&limit=10").json()
    assert page["total"] == 25
    assert {entry["level"] for entry in page["logs"]} == {"error"}
    assert len(page["logs"]) == 10
    assert len(messages(client, run, "?level=warning,error")) == 50
    assert messages(client, run, "?q=line 42") == ["Line 42 100%_"]
    assert client.get(f"/runs/{run}/logs", params={"q": "100%_"}).json()["total"] == 100
    assert client.get(f"/runs/{run}/logs", params={"q": "100_"}).json()["total"] == 0
    assert messages(client, run, "?q=line 1&level=error&limit=2&after=20") == []
    results = client.get(f"/runs/{run}/results?key=loss&limit=10&after=3").json()
    assert [r["value"] for r in results["results"]] == list(range(4, 23, 2))
    assert results["total"] == 25
    assert "key=loss" in results["next"]


def test_every_format_that_accept_asks_for(client: httpx.Client, run: str) -> None:
    hostile = ['comma, "quote"', "two\nlines", "=1+1"]
    client.post(f"/runs/{run}/logs", json=[{"message": m, "metadata": {"m": m}} for m in hostile])
    client.post(f"/runs/{run}/results", json={"key": "k", "value": {"a": 1}, "step": 2})
    path = f"/runs/{run}/logs"
    as_json = client.get(path).json()["logs"]

    def get(accept: str, path: str = path) -> httpx.Response:
        return client.get(path, headers={"Accept": accept})

    response = get("application/x-ndjson", f"{path}?limit=2")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == as_json[:2]
    assert response.headers["Athanor-Total"] == "3"
    assert response.links["next"]["url"] == f"{path}?limit=2&after=2"
    rows = list(csv.DictReader(io.StringIO(get("text/csv", f"{path}?exact=1").text)))
    assert [row["message"] for row in rows] == hostile
    assert json.loads(rows[0]["metadata"]) == {"m": hostile[0]}
    text = get("text/plain;q=0.9, text/html;q=0.5").text
    assert f"INFO  {hostile[0]}\n" in text
    assert get("text/html, */*").headers["Content-Type"] == "application/json"
    results = f"/runs/{run}/results"
    assert next(csv.DictReader(io.StringIO(get("text/csv", results).text)))["value"] == '{"a":1}'
    assert 'step 2 k = {"a":1}' in get("text/plain", results).text


def test_stream_continues_exactly_where_a_page_ends(client: httpx.Client, run: str) -> None:
    chance = random.Random(5)
    count = 0
    for _ in range(20):
        for _ in range(chance.randint(1, 3)):
            body = [{"message": "x"}] * chance.randint(1, 5)
            client.post(f"/runs/{run}/logs", json=body, headers={"Prefer": "respond-async"})
            count += len(body)
        page = client.get(f"/runs/{run}/logs").json()
        follower = Follower(str(client.base_url), f"/events/experiments:run:{run}", page["last_event_id"])
        follower.start()
        seen = [entry["seq"] for entry in page["logs"]]
        wait_until(lambda: len(seen) + len(follower.seqs) >= count, "lines")  # noqa: B023
        assert seen + follower.seqs == list(range(1, count + 1))
        follower.stopped = True
    client.post(f"/runs/{run}/complete")


def test_pages_are_bounded_in_bytes_too(client: httpx.Client, run: str) -> None:
    message = "x" * 200_000
    for _ in range(3):
        client.post(f"/runs/{run}/logs", json=[{"message": message}] * 20).raise_for_status()
    page = client.get(f"/runs/{run}/logs").json()
    assert 30 < len(page["logs"]) < 50
    rest = client.get(page["next"]).json()
    assert len(page["logs"]) + len(rest["logs"]) == 60
    back = client.get(f"/runs/{run}/logs?before=61").json()
    assert back["logs"][-1]["seq"] == 60
    assert back["next"]


def test_cancel_is_requested_and_confirmed(client: httpx.Client, run: str) -> None:
    requested = client.post(f"/runs/{run}/cancel").json()
    assert requested["status"] == "running"
    assert requested["cancel_requested_at"]
    assert client.post(f"/runs/{run}/cancel").json() == requested
    for end, body in (("logs", {"message": "x"}), ("progress", {"current": 1})):
        assert client.post(f"/runs/{run}/{end}", json=body).json()["cancel_requested"] is True
    done = client.post(f"/runs/{run}/cancelled").json()
    assert (done["status"], done["log_count"]) == ("cancelled", 1)


def test_silent_producer_is_cancelled_and_an_active_one_is_not(tmp_path: Path) -> None:
    with running(tmp_path, cancel_timeout=1.5) as service:
        client = service.client()
        silent, active, restarted = (new_run(client) for _ in range(3))
        for run in (silent, active):
            client.post(f"/runs/{run}/cancel")

        def status(run: str) -> Any:
            client.post(f"/runs/{active}/progress", json={"current": 1})
            return client.get(f"/runs/{run}").json()["status"]

        wait_until(lambda: status(silent) == "cancelled", "the end of the silent run")
        assert status(active) == "running"
        client.post(f"/runs/{restarted}/cancel")
        service.kill()
        service.start()
        wait_until(
            lambda: service.client().get(f"/runs/{restarted}").json()["status"] == "cancelled",
            "the end of the run after a restart",
        )


def test_retention_by_days_keeps_entries_of_a_running_run(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        client = service.client()
        ended, open_run = new_run(client), new_run(client)
        for run in (ended, open_run):
            client.post(f"/runs/{run}/logs", json=[{"message": str(n)} for n in range(3000)])
        client.post(f"/runs/{ended}/complete")
        service.terminate()
        service.start()
        assert service.client().get(f"/runs/{ended}/logs").json()["total"] == 3000
        service.terminate()
        service.settings["retention_days"] = 0.00001
        service.start()
        client = service.client()
        wait_until(lambda: client.get(f"/runs/{ended}/logs").json()["total"] == 0, "retention")
        assert client.get(f"/runs/{ended}").json()["log_count"] == 3000
        assert client.get(f"/runs/{open_run}/logs").json()["total"] == 3000
