"""Changing and deleting runs, and values that are more than plain numbers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ..support.follower import wait_until
from ..support.service import new_run


def events(client: httpx.Client, *topics: str, after: str = "0") -> list[dict[str, Any]]:
    """The stored events of some topics after a cursor, up to the newest one at this moment."""
    cursor = client.get("/runs?limit=1").json()["last_event_id"]
    query: dict[str, Any] = {"topic": list(topics), "last_event_id": after}
    headers = {"Accept": "application/x-ndjson"}
    found: list[dict[str, Any]] = []
    newest = int(cursor.partition("-")[2])
    # a marker ends the wait where nothing of these topics is the newest event
    client.put(f"/instances/marker-{newest}", json={"name": "marker"}).raise_for_status()
    query["topic"].append("experiments:instances")
    with client.stream("GET", "/events", params=query, headers=headers) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not line:
                continue
            event = json.loads(line)
            if event.get("instance", {}).get("id") == f"marker-{newest}":
                return found
            if event["type"].startswith("run_"):
                found.append(event)
    raise AssertionError("the stream ended")


def types(found: list[dict[str, Any]], run: str) -> list[str]:
    return [
        event["type"] for event in found if run in (event.get("run_id"), event.get("run", {}).get("id"))
    ]


def instance_of(client: httpx.Client, run: str) -> str:
    return str(client.get(f"/runs/{run}").json()["instance_id"])


def test_a_patch_merges_into_the_metadata_and_is_an_event_on_all_topics_of_the_run(
    client: httpx.Client,
) -> None:
    run = new_run(client)
    body = {"name": "first", "tags": ["a", "b"], "metadata": {"config": {"lr": 1, "deep": {"x": 1}}}}
    changed = client.patch(f"/runs/{run}", json=body)
    assert changed.status_code == 200
    expected = {"name": "first", "tags": ["a", "b"], "config": {"lr": 1, "deep": {"x": 1}}}
    assert changed.json()["metadata"] == expected
    merge = {"notes": "good", "tags": None, "metadata": {"config": {"lr": None, "deep": {"y": 2}}}}
    assert client.patch(f"/runs/{run}", json=merge).json()["metadata"] == {
        **{"name": "first", "notes": "good", "config": {"deep": {"x": 1, "y": 2}}},
    }
    # nothing changes, so there is no event
    assert client.patch(f"/runs/{run}", json={"name": "first", "unknown": 1}).status_code == 200
    for topic in (f"run:{run}", f"instance:{instance_of(client, run)}", "runs"):
        found = events(client, f"experiments:{topic}")
        assert types(found, run) == ["run_created", "run_started", "run_updated", "run_updated"]
    assert found[-1]["run"].items() <= client.get(f"/runs/{run}").json().items()


def test_a_change_after_the_end_is_not_on_the_topic_of_the_run(client: httpx.Client) -> None:
    run, other = new_run(client), new_run(client)
    client.post(f"/runs/{run}/complete")
    assert client.patch(f"/runs/{run}", json={"name": "renamed"}).json()["status"] == "completed"
    own = events(client, f"experiments:run:{run}", f"experiments:run:{other}")
    assert types(own, run) == ["run_created", "run_started", "run_completed"]
    for topic in ("runs", f"instance:{instance_of(client, run)}"):
        assert types(events(client, f"experiments:{topic}"), run)[-1] == "run_updated"
    # its own stream ends with its final event, and with nothing left there is nothing to send
    tail = client.get(f"/events/experiments:run:{run}?tail=1", headers={"Accept": "application/x-ndjson"})
    assert [json.loads(line)["type"] for line in tail.text.splitlines()] == ["run_completed"]
    last = json.loads(tail.text.splitlines()[0])["id"]
    assert client.get(f"/events/experiments:run:{run}?last_event_id={last}").status_code == 204
    assert client.get(f"/runs/{run}").json()["metadata"] == {"name": "renamed"}


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ('{"name": ""}', "$.name"),
        ('{"name": 3}', "$.name"),
        ('{"tags": "a"}', "$.tags"),
        ('{"tags": [1]}', "$.tags[0]"),
        ('{"metadata": null}', "$.metadata"),
        ("[]", "$"),
    ],
)
def test_a_bad_patch_names_the_field_and_changes_nothing(
    client: httpx.Client, body: str, path: str
) -> None:
    run = new_run(client)
    refused = client.patch(f"/runs/{run}", content=body)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == path
    assert client.get(f"/runs/{run}").json()["metadata"] == {}
    assert client.patch("/runs/no-such-run", json={"name": "x"}).status_code == 404


def test_concurrent_patches_lose_no_field(client: httpx.Client) -> None:
    run = new_run(client)

    def patch(number: int) -> None:
        body = {"metadata": {"config": {f"key {number}": number}}}
        client.patch(f"/runs/{run}", json=body).raise_for_status()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(patch, range(50)))
    config = client.get(f"/runs/{run}").json()["metadata"]["config"]
    assert config == {f"key {number}": number for number in range(50)}
    assert types(events(client, f"experiments:run:{run}"), run).count("run_updated") == 50


def test_a_run_is_deleted_with_its_entries_and_its_id_is_free(client: httpx.Client) -> None:
    run = new_run(client)
    instance = instance_of(client, run)
    client.post(f"/runs/{run}/logs", json=[{"message": "secret"}] * 5, headers={"Idempotency-Key": "k"})
    refused = client.delete(f"/runs/{run}")
    assert refused.status_code == 409
    assert "cancel it first" in refused.json()["detail"]
    client.post(f"/runs/{run}/complete")
    assert client.delete(f"/runs/{run}").status_code == 204
    assert client.delete(f"/runs/{run}").status_code == 404
    for path in (f"/runs/{run}", f"/runs/{run}/logs", f"/events/experiments:run:{run}"):
        assert client.get(path).status_code == 404
    assert client.get(f"/instances/{instance}/runs").json()["runs"] == []

    def left() -> list[str]:
        return types(events(client, "experiments:runs", f"experiments:instance:{instance}"), run)

    wait_until(lambda: left() == ["run_deleted"], "the deletion of its events")
    # the same id is a new run, which has nothing of the old one
    client.post(f"/instances/{instance}/runs", json={"id": run}).raise_for_status()
    client.post(f"/runs/{run}/start")
    again = client.post(f"/runs/{run}/logs", json={"message": "new"}, headers={"Idempotency-Key": "k"})
    assert again.json()["accepted"] == 1
    assert "idempotency-replayed" not in again.headers
    assert [log["seq"] for log in client.get(f"/runs/{run}/logs").json()["logs"]] == [1]
    own = types(events(client, f"experiments:run:{run}", "experiments:instances"), run)
    assert own == ["run_created", "run_started", "run_log"]
    assert left() == ["run_deleted", "run_created", "run_started"]


def test_a_pending_run_is_cancelled_before_it_is_deleted(client: httpx.Client) -> None:
    run = new_run(client, start=False)
    cursor = client.get(f"/runs/{run}").json()["last_event_id"]
    with client.stream(
        "GET", f"/events/experiments:run:{run}?last_event_id={cursor}&unnamed=1"
    ) as stream:
        lines = stream.iter_lines()
        next(lines)
        assert client.delete(f"/runs/{run}").status_code == 204
        # the stream ends with its final event
        found = [json.loads(line[6:])["type"] for line in lines if line.startswith("data: ")]
    assert found == ["run_cancelled"]
    assert types(events(client, "experiments:runs", after=cursor), run)[-1] == "run_deleted"


def test_several_bars_reach_readers_and_old_readers_see_the_first(client: httpx.Client) -> None:
    run = new_run(client)
    bars: list[dict[str, Any]] = [
        {"current": 3, "total": 10, "message": "epochs"},
        {"current": 0.5, "total": None},
    ]
    topic = f"/events/experiments:run:{run}?types=run_progress&unnamed=1"
    with client.stream("GET", topic) as stream:
        lines = (line for line in stream.iter_lines() if line.startswith("data: "))
        client.put(f"/runs/{run}/progress", json={**bars[0], "bars": bars}).raise_for_status()
        shown = json.loads(next(lines)[6:])
        client.put(f"/runs/{run}/progress", json=bars[0]).raise_for_status()
        without = json.loads(next(lines)[6:])
    instance = client.get(f"/runs/{run}").json()["instance_id"]
    subject = {"type": "run_progress", "run_id": run, "instance_id": instance}
    assert shown == {
        **subject,
        **bars[0],
        "bars": [bars[0], bars[1] | {"message": None}],
    }
    assert without == {**subject, **bars[0]}
    refused = client.put(f"/runs/{run}/progress", json={**bars[0], "bars": [bars[0]] * 17})
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "$.bars")
    assert client.get(f"/runs/{run}").json()["progress"].keys() == {
        "current",
        "total",
        "message",
        "updated_at",
    }


def test_numbers_that_are_not_finite_fractional_steps_and_long_integers_stay_as_they_are(
    client: httpx.Client,
) -> None:
    run = new_run(client)
    values = [
        "NaN",
        "Infinity",
        "-Infinity",
        None,
        2**53 + 1,
        -(10**30),
        0.1,
        ["NaN", {"a": "-Infinity"}],
    ]
    steps = [0, 0.5, 0.25, -3, 2**53, -(2**53), 1e-300, None]
    body = [{"key": "x", "value": v, "step": s} for v, s in zip(values, steps, strict=True)]
    client.post(f"/runs/{run}/results", json=body).raise_for_status()
    found = client.get(f"/runs/{run}/results").json()["results"]
    assert [(result["value"], result["step"]) for result in found] == list(
        zip(values, steps, strict=True)
    )
    streamed = events(client, f"experiments:run:{run}")[-1]["results"]
    assert streamed == found
    table = client.get(f"/runs/{run}/results", headers={"Accept": "text/csv"}).text.splitlines()
    assert [line.split(",")[2:5] for line in table[1:6]] == [
        ["0", "x", "NaN"],
        ["0.5", "x", "Infinity"],
        ["0.25", "x", "-Infinity"],
        ["-3", "x", ""],
        ["9007199254740992", "x", "9007199254740993"],
    ]
    for step in ("9007199254740993", "1e16", "NaN", '"1"', "true"):
        refused = client.post(
            f"/runs/{run}/results", content=f'{{"key": "x", "value": 1, "step": {step}}}'
        )
        assert refused.status_code == 422, step


def test_entries_of_one_stream_can_be_selected(client: httpx.Client) -> None:
    run = new_run(client)
    logs = [
        {"message": "out 1"},
        {"message": "err 1", "metadata": {"stream": "stderr"}, "level": "error"},
        {"message": "other", "metadata": {"stream": 3, "deep": {"stream": "stderr"}}},
        {"message": "err 2\0", "metadata": {"stream": "stderr"}},
        {"message": "stream stderr"},
    ]
    client.post(f"/runs/{run}/logs", json=logs).raise_for_status()

    def selected(query: str) -> tuple[list[str], int]:
        page = client.get(f"/runs/{run}/logs?{query}").json()
        return [log["message"] for log in page["logs"]], page["total"]

    assert selected("stream=stderr") == (["err 1", "err 2\0"], 2)
    assert selected("stream=stderr&level=error") == (["err 1"], 1)
    assert selected("stream=stderr&q=2&before=99") == (["err 2\0"], 1)
    assert selected("stream=nothing") == ([], 0)


def test_a_repeated_request_shows_no_older_progress_whether_it_waits_or_not(
    client: httpx.Client,
) -> None:
    run = new_run(client)

    def report(key: str, current: int, **headers: str) -> httpx.Response:
        body = (
            f'{{"type": "run_log", "message": "{key}"}}\n{{"type": "run_progress", "current": {current}}}'
        )
        headers |= {"Idempotency-Key": key, "Content-Type": "application/x-ndjson"}
        return client.post(f"/runs/{run}/events", content=body, headers=headers).raise_for_status()

    def shown() -> Any:
        return (client.get(f"/runs/{run}").json()["progress"] or {}).get("current")

    later = {"Prefer": "respond-async"}
    report("one", 1, **later)
    wait_until(lambda: shown() == 1, "the first progress")
    report("two", 2)
    assert shown() == 2
    report("one", 1, **later)
    report("two", 1)
    # its commit comes after that of the repeated requests
    report("three", 3)
    wait_until(lambda: client.get(f"/runs/{run}").json()["log_count"] == 3, "three entries")
    assert shown() == 3
    report("four", 4, **later)
    wait_until(lambda: shown() == 4, "the fourth progress")
