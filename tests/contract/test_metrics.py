"""Metrics and curves over HTTP: they equal what the stored results give."""

from __future__ import annotations

import contextlib
import json
import math
import random
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support import plain
from ..support.follower import wait_until
from ..support.service import new_run, running

SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def post(client: httpx.Client, run: str, results: list[dict[str, Any]], **headers: str) -> httpx.Response:
    body = "\n".join(map(json.dumps, results))
    given = {"Content-Type": "application/x-ndjson", **headers}
    return client.post(f"/runs/{run}/results", content=body, headers=given).raise_for_status()


def stored(client: httpx.Client, run: str, key: str) -> list[dict[str, Any]]:
    """All results of a key."""
    results: list[dict[str, Any]] = []
    path = f"/runs/{run}/results?limit=10000"
    while path:
        page = client.get(path, params={"key": key} if "key=" not in path else None).json()
        results += page["results"]
        path = page["next"]
    return results


def is_point(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number or (isinstance(value, str) and value in SPELLED)


def points_of(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    points = [result for result in results if is_point(result["value"])]
    for at, point in enumerate(points):
        if point["step"] is None:
            point["step"] = at
    return points


def metric_of(results: list[dict[str, Any]]) -> dict[str, Any]:
    points = points_of(results)
    finite = [point for point in points if not isinstance(point["value"], str)]
    least = min(finite, key=lambda point: point["value"], default=None)
    greatest = max(finite, key=lambda point: point["value"], default=None)
    return {
        "count": len(results),
        "points": len(points),
        "first_step": points[0]["step"] if points else None,
        "last_step": points[-1]["step"] if points else None,
        "last": points[-1]["value"] if points else None,
        "least": least and least["value"],
        "least_step": least and least["step"],
        "greatest": greatest and greatest["value"],
        "greatest_step": greatest and greatest["step"],
    }


def curves(client: httpx.Client, path: str, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(path, params=query).raise_for_status().json()["curves"]
    return found


KEYS = ("loss", "a/b c", "nul\0key", r"not\u0000", "\x1b[31mé\u2028", "🙂")


def mixed(count: int, seed: int) -> list[dict[str, Any]]:
    """Results with steps that go back or are missing, and values of every kind."""
    chance = random.Random(seed)
    values = [0.5, -3, 10**17 + 1, 10**30, 1e308, "NaN", "Infinity", "-Infinity", "text", None, [1], True]
    return [
        {
            "key": chance.choice(KEYS),
            "value": chance.random() if chance.random() < 0.7 else chance.choice(values),
            "step": chance.choice([at, at % 50, at / 4, None]),
        }
        for at in range(count)
    ]


@pytest.fixture
def run(client: httpx.Client) -> str:
    return new_run(client)


def test_metrics_equal_what_the_results_give(client: httpx.Client, run: str) -> None:
    for flush in range(20):
        post(client, run, mixed(100, flush))
    page = client.get(f"/runs/{run}/metrics").json()
    assert page["seq"] == 2000
    assert page["next"] is None
    assert [metric["key"] for metric in page["metrics"]] == sorted(KEYS)
    summary = client.get(f"/runs/{run}").json()["summary"]
    for metric in page["metrics"]:
        key = metric.pop("key")
        assert metric == metric_of(stored(client, run, key)), key
        assert summary[key] == metric
    assert list(summary) == sorted(KEYS)


def test_pages_of_metrics_follow_each_other(client: httpx.Client, run: str) -> None:
    post(client, run, mixed(500, 1))
    keys: list[str] = []
    path: str | None = f"/runs/{run}/metrics?limit=2"
    while path:
        page = client.get(path).json()
        assert len(page["metrics"]) <= 2
        keys += [metric["key"] for metric in page["metrics"]]
        path = page["next"]
    assert keys == sorted(KEYS)
    page = client.get(f"/runs/{run}/metrics", params={"after": "a/b c"}).json()
    assert page["metrics"][0]["key"] == "loss"


@pytest.mark.parametrize("axis", ["step", "time"])
def test_a_curve_of_few_points_has_every_point(client: httpx.Client, run: str, axis: str) -> None:
    for flush in range(10):
        post(client, run, mixed(200, flush))
    found = curves(client, f"/runs/{run}/curves", key=list(KEYS), points=10_000, x=axis)
    assert [curve["key"] for curve in found] == list(KEYS)
    for curve in found:
        points = points_of(stored(client, run, curve["key"]))
        assert curve["buckets"] is None
        assert curve["seq"] == 2000
        assert curve["count"] == len(points)
        if axis == "step":
            assert curve["x"] == [point["step"] for point in points]
        else:
            times = [datetime.fromisoformat(point["timestamp"]).timestamp() for point in points]
            assert curve["x"] == times
        for shown, point in zip(curve["y"], points, strict=True):
            # 10^30 is a double here
            assert shown == (float(point["value"]) if point["value"] == 10**30 else point["value"])


def test_a_long_curve_has_the_edges_and_extremes_of_each_bucket(client: httpx.Client, run: str) -> None:
    values = [math.sin(at / 100) + (at == 7777) * 50 for at in range(12_345)]
    for start in range(0, len(values), 1000):
        results = [
            {"key": "loss", "value": values[at], "step": at}
            for at in range(start, min(start + 1000, len(values)))
        ]
        post(client, run, results)
    for points in (4, 100, 1000, 10_000):
        for edges in ({}, {"from": 1000.5, "to": 9000}, {"from": 12_000}, {"to": 99.5}):
            (curve,) = curves(client, f"/runs/{run}/curves", key="loss", points=points, **edges)
            first, last = math.ceil(edges.get("from", 0)), int(edges.get("to", len(values) - 1))
            check(curve, values[first : last + 1], first, points)
    assert curves(client, f"/runs/{run}/curves", key="loss", **{"from": 1e6})[0]["x"] == []


def check(curve: dict[str, Any], values: list[float], first: int, points: int) -> None:
    assert curve["count"] == 12_345
    if curve["buckets"] is None:
        assert curve["x"] == list(range(first, first + len(values)))
        assert curve["y"] == values
        return
    assert len(values) > points
    assert len(curve["buckets"]) <= points // 4
    place = listed = 0
    for entries, stands_for, mean in curve["buckets"]:
        part = values[place : place + stands_for]
        low, high = part.index(min(part)), part.index(max(part))
        picked = sorted({0, low, high, len(part) - 1})
        assert curve["x"][listed : listed + entries] == [first + place + at for at in picked]
        assert curve["y"][listed : listed + entries] == [part[at] for at in picked]
        assert math.isclose(mean, math.fsum(part) / len(part), abs_tol=1e-9)
        place += stands_for
        listed += entries
    assert place == len(values)


def test_curves_of_several_runs_come_in_the_order_of_the_query(client: httpx.Client) -> None:
    runs = [new_run(client) for _ in range(3)]
    for number, run in enumerate(runs):
        post(client, run, [{"key": "loss", "value": number}, {"key": "text", "value": "x"}])
    post(client, runs[1], [{"key": "acc", "value": 1}])
    found = curves(client, "/curves", run=[runs[2], runs[0], runs[1]], key=["acc", "loss", "text"])
    places = [(curve["run_id"], curve["key"], curve["y"]) for curve in found]
    assert places == [
        (runs[2], "loss", [2]),
        (runs[0], "loss", [0]),
        (runs[1], "acc", [1]),
        (runs[1], "loss", [1]),
    ]


def test_a_live_event_goes_on_after_the_seq_of_a_curve(client: httpx.Client, run: str) -> None:
    post(client, run, [{"key": "loss", "value": 1}])
    page = client.get(f"/runs/{run}/curves", params={"key": "loss"}).json()
    post(client, run, [{"key": "loss", "value": 2}])
    client.post(f"/runs/{run}/complete").raise_for_status()
    topic = f"/events/experiments:run:{run}"
    headers = {"Last-Event-ID": page["last_event_id"], "Accept": "application/x-ndjson"}
    events = [json.loads(line) for line in client.get(topic, headers=headers).text.splitlines() if line]
    assert [event["result"]["seq"] for event in events if event["type"] == "run_result"] == [
        page["curves"][0]["seq"] + 1
    ]


def test_lists_of_runs_have_summaries_where_they_are_asked_for(client: httpx.Client) -> None:
    instance = client.post("/instances", json={"name": "x"}).json()["id"]
    runs = [client.post(f"/instances/{instance}/runs").json()["id"] for _ in range(3)]
    for run in runs[:2]:
        client.post(f"/runs/{run}/start").raise_for_status()
        post(client, run, [{"key": f"key{at:02d}", "value": at} for at in range(30)])
    path = f"/instances/{instance}/runs"
    assert all("summary" not in run for run in client.get(path).json()["runs"])
    found = {run["id"]: run["summary"] for run in client.get(f"{path}?summary=*").json()["runs"]}
    assert found[runs[2]] == {}
    for run in runs[:2]:
        assert list(found[run]) == [f"key{at:02d}" for at in range(20)]
    page = client.get(f"{path}?summary=key29&summary=key03&summary=nothing&limit=1").json()
    assert page["runs"][0]["summary"] == {}
    page = client.get(page["next"]).json()
    assert {key: metric["last"] for key, metric in page["runs"][0]["summary"].items()} == {
        "key29": 29,
        "key03": 3,
    }
    listed = client.get("/runs?summary=*&limit=3").json()["runs"]
    assert all("summary" in run for run in listed)
    keys = client.get(f"/instances/{instance}/metrics").json()
    assert keys["metrics"] == [{"key": f"key{at:02d}", "runs": 2, "points": 2} for at in range(30)]
    assert keys["next"] is None
    page = client.get(f"/instances/{instance}/metrics?limit=29").json()
    assert [metric["key"] for metric in client.get(page["next"]).json()["metrics"]] == ["key29"]


MANY_KEYS = "&".join(f"key={at}" for at in range(21))


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/runs?summary=*&limit=251", 400, "from 1 to 250"),
        ("/runs?" + "&".join(f"summary={at}" for at in range(51)), 400, "50 is the most"),
        ("/runs/{run}/curves", 400, "1 to 50 keys"),
        ("/runs/{run}/curves?key=a&points=3", 400, "from 4 to 10000"),
        ("/runs/{run}/curves?key=a&points=10001", 400, "from 4 to 10000"),
        ("/runs/{run}/curves?key=a&x=epoch", 400, "step, time"),
        ("/runs/{run}/curves?key=a&from=nan", 400, "must be a number"),
        ("/runs/{run}/curves?key=a&to=1e999", 400, "must be a number"),
        ("/runs/{run}/curves?key=a&to=1_0", 400, "must be a number"),
        ("/runs/{run}/curves?" + "&".join(f"key={at}" for at in range(51)), 400, "1 to 50 keys"),
        ("/runs/{run}/curves?points=10000&" + MANY_KEYS, 400, "points=9523"),
        ("/runs/nowhere/curves?key=a", 404, "no run nowhere"),
        ("/runs/nowhere/metrics", 404, "no run nowhere"),
        ("/instances/nowhere/metrics", 404, "no instance nowhere"),
        ("/curves?key=a", 400, "1 to 50 runs"),
        ("/curves?key=a&run={run}&run=nowhere", 404, "no run nowhere"),
        ("/curves?key=a&" + "&".join(f"run={at}" for at in range(51)), 400, "1 to 50 runs"),
    ],
)
def test_what_is_refused_says_why(
    client: httpx.Client, run: str, path: str, status: int, words: str
) -> None:
    response = client.get(path.replace("{run}", run))
    assert response.status_code == status
    assert words in response.json()["detail"]


def test_too_many_curves_are_refused(client: httpx.Client, run: str) -> None:
    query: dict[str, Any] = {
        "run": [f"r{at}" for at in range(11)],
        "key": [str(at) for at in range(50)],
        "points": 4,
    }
    response = client.get("/curves", params=query)
    assert response.status_code == 400
    assert "500 is the most" in response.json()["detail"]


def test_a_repeated_request_adds_nothing(client: httpx.Client, run: str) -> None:
    for _ in range(2):
        post(client, run, [{"key": "loss", "value": 1}], **{"Idempotency-Key": "once"})
    assert client.get(f"/runs/{run}").json()["summary"]["loss"]["count"] == 1


def test_a_new_run_of_a_deleted_id_has_no_old_metrics(client: httpx.Client) -> None:
    instance = client.post("/instances", json={"name": "x"}).json()["id"]
    id = f"again-{time.monotonic_ns()}"
    for value in (1, 2):
        client.post(f"/instances/{instance}/runs", json={"id": id}).raise_for_status()
        assert client.get(f"/runs/{id}").json()["summary"] == {}
        client.post(f"/runs/{id}/start").raise_for_status()
        post(client, id, [{"key": "loss", "value": value, "step": 7} for _ in range(200)])
        metric = client.get(f"/runs/{id}").json()["summary"]["loss"]
        assert (metric["count"], metric["least"], metric["greatest"]) == (200, value, value)
        (curve,) = curves(client, f"/runs/{id}/curves", key="loss", points=4)
        assert curve["count"] == 200
        assert set(curve["y"]) == {value}
        client.post(f"/runs/{id}/complete").raise_for_status()
        client.delete(f"/runs/{id}").raise_for_status()
        assert client.get(f"/runs/{id}/metrics").status_code == 404


def test_retention_keeps_metrics_and_curves(tmp_path: Path) -> None:
    with running(tmp_path, retention_rows=100) as service:
        client = service.client()
        run = new_run(client)
        values = [math.cos(at) for at in range(3000)]
        for start in range(0, 3000, 500):
            part = range(start, start + 500)
            post(client, run, [{"key": "loss", "value": values[at]} for at in part])
        before = curves(client, f"/runs/{run}/curves", key="loss", points=100)
        summary = client.get(f"/runs/{run}").json()["summary"]
        # upkeep goes on when something is deleted
        other = new_run(client)
        client.post(f"/runs/{other}/complete").raise_for_status()
        client.delete(f"/runs/{other}").raise_for_status()
        path = f"/runs/{run}/results"
        wait_until(lambda: len(client.get(path).json()["results"]) == 100, "the retention")
        assert client.get(f"/runs/{run}").json()["summary"] == summary
        assert curves(client, f"/runs/{run}/curves", key="loss", points=100) == before
        (curve,) = curves(client, f"/runs/{run}/curves", key="loss", points=10_000)
        assert sum(bucket[1] for bucket in curve["buckets"]) == 3000
        assert (curve["x"][0], curve["x"][-1]) == (0, 2999)
        assert curve["y"][-1] == values[-1]
        # the newest results are still there, one by one
        (curve,) = curves(client, f"/runs/{run}/curves", key="loss", **{"from": 2944})
        assert curve["buckets"] is None
        assert curve["y"] == values[2944:]
        post(client, run, [{"key": "loss", "value": 9}])
        (curve,) = curves(client, f"/runs/{run}/curves", key="loss", points=100)
        assert (curve["count"], curve["x"][-1], curve["y"][-1]) == (3001, 3000, 9)


def test_after_a_kill_metrics_are_those_of_the_results(tmp_path: Path) -> None:
    """Producers post while the service is killed, again and again."""
    with running(tmp_path) as service:
        run = new_run(service.client())
        stop = threading.Event()
        producers = [
            threading.Thread(target=keep_posting, args=(service.url, run, number, stop))
            for number in range(3)
        ]
        for producer in producers:
            producer.start()
        try:
            for _ in range(4):
                client = service.client()
                more = client.get(f"/runs/{run}").json()["result_count"] + 2000
                wait_until(
                    lambda: client.get(f"/runs/{run}").json()["result_count"] > more,  # noqa: B023
                    "further results",
                )
                service.kill()
                service.start()
        finally:
            stop.set()
            for producer in producers:
                producer.join()
        client = service.client()
        for metric in client.get(f"/runs/{run}/metrics").json()["metrics"]:
            key = metric.pop("key")
            results = stored(client, run, key)
            assert metric == metric_of(results), key
            (curve,) = curves(client, f"/runs/{run}/curves", key=key, points=10_000)
            if curve["buckets"] is None:
                assert curve["y"] == [result["value"] for result in results]
            else:
                assert sum(bucket[1] for bucket in curve["buckets"]) == len(results)


def keep_posting(url: str, run: str, number: int, stop: threading.Event) -> None:
    step = 0
    with plain.client(base_url=url) as client:
        while not stop.is_set():
            results = [
                {"key": key, "value": math.sin(step + at), "step": step + at}
                for at in range(20)
                for key in ("shared", f"own{number}")
            ]
            with contextlib.suppress(httpx.HTTPError):
                post(client, run, results)
            step += 20
