"""What producers send has bounds, and so have lists; a refusal names the place, and changes nothing."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from athanor.protocol.bounds import (
    MAX_DEPTH,
    MAX_ENTRY,
    MAX_ERROR,
    MAX_MODULE,
    MAX_OBJECT,
    MAX_PROGRESS_MESSAGE,
    MAX_TEXT,
)

from ..support.service import new_run
from .test_bad_input import JSON, NDJSON, problem, stored

LARGEST = {"a": "x" * (MAX_OBJECT - len('{"a":""}'))}
"""An object of the most bytes."""
TOO_LARGE = {"a": LARGEST["a"] + "x"}
PAGE = 3 << 20
"""Bytes of a page of a list: the bound, one record more, and what surrounds them."""


def items(client: httpx.Client, path: str, noun: str) -> tuple[list[str], int]:
    """The ids in all pages of a list, and the bytes of its largest page."""
    found, largest = [], 0
    following: str | None = path
    while following:
        response = client.get(following)
        body = response.raise_for_status().json()
        assert body[noun]
        found += [item["id"] for item in body[noun]]
        largest = max(largest, len(response.content))
        following = body["next"]
    return found, largest


def test_objects_are_bounded_on_every_way_in(client: httpx.Client) -> None:
    instance = client.post("/instances", json={"name": "n", "configuration": LARGEST})
    id = instance.raise_for_status().json()["id"]
    path = f"/instances/{id}"
    large = {"name": "other", "configuration": TOO_LARGE}
    for method, at in (("POST", "/instances"), ("PUT", path), ("PATCH", path)):
        body = problem(client.request(method, at, json=large), 413, "$.configuration", "results")
        assert body["errors"][0]["path"] == "$.configuration"
    shown = client.get(path).json()
    assert (shown["name"], shown["configuration"]) == ("n", LARGEST)
    problem(client.post(f"{path}/runs", json={"metadata": TOO_LARGE}), 413, "$.metadata")
    assert client.get(f"{path}/runs").json()["runs"] == []
    run = client.post(f"{path}/runs", json={"metadata": LARGEST}).raise_for_status().json()
    assert run["metadata"] == LARGEST
    # each change alone is small
    for change in ({"notes": "x"}, {"name": "x"}, {"metadata": {"b": 1}}, {"tags": ["x"]}):
        problem(client.patch(f"/runs/{run['id']}", json=change), 413, "$.metadata")
    assert client.get(f"/runs/{run['id']}").json()["metadata"] == LARGEST
    changed = client.patch(f"/runs/{run['id']}", json={"metadata": {"a": None, "b": 1}, "notes": "x"})
    assert changed.raise_for_status().json()["metadata"] == {"b": 1, "notes": "x"}


def test_texts_are_bounded(client: httpx.Client) -> None:
    for field, most in (("description", MAX_TEXT), ("experiment_module", MAX_MODULE)):
        text = "é" * most
        made = client.post("/instances", json={"name": "n", field: text}).raise_for_status().json()
        assert made[field] == text
        for method, at in (("POST", "/instances"), ("PATCH", f"/instances/{made['id']}")):
            problem(client.request(method, at, json={"name": "n", field: text + "x"}), 422, f"$.{field}")
    run = new_run(client)
    client.patch(f"/runs/{run}", json={"notes": "x" * MAX_TEXT}).raise_for_status()
    problem(client.patch(f"/runs/{run}", json={"notes": "x" * (MAX_TEXT + 1)}), 422, "$.notes")
    problem(client.post(f"/runs/{run}/fail", json={"error": "x" * (MAX_ERROR + 1)}), 422, "$.error")
    assert client.get(f"/runs/{run}").json()["status"] == "running"
    client.post(f"/runs/{run}/fail", json={"error": "é" * MAX_ERROR}).raise_for_status()
    assert client.get(f"/runs/{run}").json()["error"] == "é" * MAX_ERROR


@pytest.mark.parametrize("shape", ["one", "lines", "array"])
def test_an_entry_is_bounded(client: httpx.Client, shape: str) -> None:
    run = new_run(client)

    def post(*entries: dict[str, Any]) -> httpx.Response:
        if shape == "array":
            return client.post(f"/runs/{run}/results", json=entries)
        headers = NDJSON if shape == "lines" else JSON
        body = "\n".join(json.dumps(entry) for entry in entries)
        return client.post(f"/runs/{run}/results", content=body, headers=headers)

    small = {"key": "k", "value": 1}
    fits = {"key": "k", "value": "x" * (MAX_ENTRY - 100)}
    entries = [fits] if shape == "one" else [small, fits, small]
    assert post(*entries).status_code == 201
    large = {"key": "k", "value": "x" * MAX_ENTRY}
    entries = [large] if shape == "one" else [*([small] * 7), large, small]
    body = problem(post(*entries), 413, f"{MAX_ENTRY} bytes", "in parts")
    assert body["errors"][0]["line"] == len(entries) - (shape != "one")
    assert stored(client, run) == (1 if shape == "one" else 3)


def test_a_message_of_progress_is_bounded(client: httpx.Client) -> None:
    run = new_run(client)
    fits, large = "x" * MAX_PROGRESS_MESSAGE, "é" * MAX_PROGRESS_MESSAGE
    client.put(f"/runs/{run}/progress", json={"current": 1, "message": fits}).raise_for_status()
    bars = [{"current": 1, "message": large}]
    for body in ({"current": 2, "message": large}, {"current": 2, "bars": bars}):
        problem(client.put(f"/runs/{run}/progress", json=body), 413, f"{MAX_PROGRESS_MESSAGE} bytes")
        both = [{"type": "run_log", "message": "x"}, {"type": "run_progress", **body}]
        problem(client.post(f"/runs/{run}/events", json=both), 413, f"{MAX_PROGRESS_MESSAGE} bytes")
    assert client.get(f"/runs/{run}").json()["progress"]["current"] == 1
    assert stored(client, run) == 0


def test_nesting_is_bounded_for_all_alike(client: httpx.Client) -> None:
    run = new_run(client)
    for opened, closed in (("[", "]"), ('{"[":', "}")):
        for depth, status in ((MAX_DEPTH, 201), (MAX_DEPTH + 1, 422)):
            inner = "[]" if opened == "[" else "{}"
            value = opened * (depth - 1) + inner + closed * (depth - 1)
            for body in (f'{{"key":"k","value":{value}}}', f'[{{"key":"k","value":{value}}}]'):
                response = client.post(f"/runs/{run}/results", content=body, headers=JSON)
                assert response.status_code == status, response.text
    deep = {"metadata": json.loads('{"a":' * MAX_DEPTH + "{}" + "}" * MAX_DEPTH)}
    problem(client.patch(f"/runs/{run}", json=deep), 422, "$.metadata", "deep")


def test_values_are_kept_as_they_were_written(client: httpx.Client) -> None:
    run = new_run(client)
    value = '{"exact": 0.1000000000000000000000001, "big": %s, "text": "a \\u2028 \\" b", "x": [ ]}'
    body = '{"key": "k", "value": ' + value % ("9" * 4000) + ' ,"step": 1}'
    client.post(f"/runs/{run}/results", content=body, headers=JSON).raise_for_status()
    page = client.get(f"/runs/{run}/results").text
    compact = (value % ("9" * 4000)).replace(": ", ":").replace(", ", ",").replace("[ ]", "[]")
    assert compact in page
    for number in ("1e400", "-1e309", "9" * 310 + ".0", "9" * 310 + "e-1", "9" * 4301):
        body = f'{{"key": "k", "value": ["1e400", {number}]}}'
        problem(client.post(f"/runs/{run}/results", content=body, headers=JSON), 422, "out of range")
    lone = '{"key": "k", "value": ["\\ud800", "\\\\ud800", "\\ud83d\\ude00", "\\udc00\\ud800x"]}'
    client.post(f"/runs/{run}/results", content=lone, headers=JSON).raise_for_status()
    newest = client.get(f"/runs/{run}/results?after=1").json()["results"][0]
    assert newest["value"] == ["\ufffd", "\\ud800", "\U0001f600", "\ufffd\ufffdx"]


@pytest.mark.parametrize("noun", ["runs", "instances"])
def test_lists_are_bounded_in_bytes_and_next_leads_through_all(client: httpx.Client, noun: str) -> None:
    made = []
    if noun == "runs":
        instance = client.post("/instances", json={"name": "n"}).raise_for_status().json()["id"]
        for number in range(20):
            body: dict[str, Any] = {"metadata": LARGEST if number % 5 else {}}
            response = client.post(f"/instances/{instance}/runs", json=body).raise_for_status()
            made.append(response.json()["id"])
        path = f"/instances/{instance}/runs"
    else:
        for number in range(20):
            body = {"name": "bounded list", "configuration": LARGEST if number % 5 else {}}
            made.append(client.post("/instances", json=body).raise_for_status().json()["id"])
        path = "/instances?name=bounded%20list"
    for limit in (1000, 7):
        found, largest = items(client, f"{path}{'&' if '?' in path else '?'}limit={limit}", noun)
        assert found == made[::-1]
        assert largest < PAGE


def test_a_large_body_is_read_as_a_small_one_is(client: httpx.Client) -> None:
    messages = [f"line {number} \ud83d\ude00 ".encode("utf-16", "surrogatepass").decode("utf-16") * 9
                for number in range(3000)]  # fmt: skip
    entries = [{"message": message, "metadata": {"a": [n]}} for n, message in enumerate(messages)]
    bodies: dict[str, str] = {
        "array": json.dumps(entries),
        "spaced array": json.dumps(entries, indent=2, ensure_ascii=False),
        "lines": "\r\n".join(map(json.dumps, entries)),
        "blank lines": "\n\n".join(map(json.dumps, entries)),
        "objects over several lines": "\n".join(json.dumps(entry, indent=1) for entry in entries),
    }
    for body in bodies.values():
        assert len(body) > 4 * 65536
        run = new_run(client)
        response = client.post(f"/runs/{run}/logs", content=body.encode(), headers=JSON)
        assert response.status_code == 201, response.text
        logs = client.get(f"/runs/{run}/logs?limit=10000").json()["logs"]
        assert [(log["message"], log["metadata"]) for log in logs] == [
            (entry["message"], entry["metadata"]) for entry in entries
        ]
        assert [log["seq"] for log in logs] == list(range(1, 3001))


@pytest.mark.parametrize("form", ["array", "lines"])
@pytest.mark.parametrize(
    ("fault", "path"),
    [
        *(('{"message": 1}', "$.message"), ("{}", "$"), ("[1]", "$"), ('{"message": "x}', "$")),
        *(('{"message": "x"} 7', "$"), ('{"message": "x", "metadata": [1]}', "$.metadata")),
    ],
)
def test_a_fault_in_a_large_body_is_named(client: httpx.Client, form: str, fault: str, path: str) -> None:
    run = new_run(client)
    lines = [json.dumps({"message": "x" * 100})] * 2000
    lines[1500] = fault
    body = f"[{','.join(lines)}]" if form == "array" else "\n".join(lines)
    errors = problem(client.post(f"/runs/{run}/logs", content=body, headers=JSON), 422)["errors"]
    assert errors[0]["line"] == 1501
    assert errors[0]["path"] in (path, f"$[1500]{path[1:]}")
    assert stored(client, run) == 0


@pytest.mark.parametrize("body", ["[INFO] loading", "{epoch} 1", "[1/10] training\n[2/10] training"])
def test_text_that_looks_like_json_is_told_its_media_type(client: httpx.Client, body: str) -> None:
    run = new_run(client)
    for media_type in ("", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": media_type} if media_type else {}
        problem(client.post(f"/runs/{run}/logs", content=body, headers=headers), 422, "text/plain")
    text = {"Content-Type": "text/plain"}
    client.post(f"/runs/{run}/logs", content=body, headers=text).raise_for_status()
    assert stored(client, run) == len(body.splitlines())
    refused = problem(client.post(f"/runs/{run}/logs", content=body, headers=JSON), 422)
    assert "text/plain" not in refused["detail"]
