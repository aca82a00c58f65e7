"""Bad input is refused with an error that names the place, and none of it is stored."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from athanor.web.routes import ENDPOINTS

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import Service, new_run, running

NDJSON = {"Content-Type": "application/x-ndjson"}
TEXT = {"Content-Type": "text/plain"}
JSON = {"Content-Type": "application/json"}


def problem(response: httpx.Response, status: int, *words: str) -> dict[str, Any]:
    """The problem in a response with this status and these words in its detail."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == status
    assert body["title"]
    for word in words:
        assert word in body["detail"]
    return body


def stored(client: httpx.Client, run: str) -> int:
    """The number of entries of a run."""
    body = client.get(f"/runs/{run}").json()
    return int(body["log_count"] + body["result_count"])


@pytest.fixture
def run(client: httpx.Client) -> str:
    return new_run(client)


@pytest.mark.parametrize(
    "path",
    [
        *("/runs/no", "/instances/no", "/instances/no/runs", "/runs/no/logs", "/runs/no/results"),
        *("/events/experiments:run:no", "/events/experiments:instance:no"),
        "/events?topic=experiments:runs&topic=experiments:run:no",
    ],
)
def test_unknown_thing_is_404(client: httpx.Client, path: str) -> None:
    problem(client.get(path), 404, "no")


@pytest.mark.parametrize(
    "topic",
    [
        "nonsense",
        "experiments:",
        "experiments:run:",
        "experiments:run:a/b",
        "experiments:run:" + "x" * 65,
    ],
)
def test_unknown_topic_is_404_and_names_the_topics(client: httpx.Client, topic: str) -> None:
    problem(client.get("/events", params={"topic": topic}), 404, "experiments:instance:{id}")


@pytest.mark.parametrize(
    "step", ["start", "complete", "fail", "cancel", "cancelled", "logs", "results", "progress", "events"]
)
def test_unknown_run_is_404_for_every_step(client: httpx.Client, step: str) -> None:
    bodies = {
        "logs": {"message": "x"},
        "results": {"key": "k", "value": 1},
        "progress": {"current": 1},
        "events": {"type": "run_progress", "current": 1},
    }
    problem(client.post(f"/runs/no/{step}", json=bodies.get(step)), 404, "no run no")


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "7", "3f09ac-", "3f09ac-x", "3F09AC-1", "3f09ac-1-2", "0-0", "٣"]
)
def test_malformed_cursor_is_400(client: httpx.Client, run: str, cursor: str) -> None:
    path = f"/events/experiments:run:{run}"
    problem(client.get(path, params={"last_event_id": cursor}), 400, "cursor")
    if cursor.isascii():
        problem(client.get(path, headers={"Last-Event-ID": cursor}), 400, "cursor")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        *(("/events", "topic"), ("/events/experiments:runs?types=run_nonsense", "run_progress")),
        *(("/events/experiments:runs?tail=-1", "tail"), ("/events/experiments:runs?tail=10001", "10000")),
        ("/events?" + "&".join(f"topic=experiments:run:{n}" for n in range(129)), "128"),
        *(("/runs?limit=0", "limit"), ("/runs?limit=1001", "1000"), ("/instances?limit=many", "many")),
        *(("/runs?status=odd", "odd"), ("/instances?limit=-5", "limit")),
    ],
)
def test_bad_query_is_400_and_named(client: httpx.Client, path: str, word: str) -> None:
    problem(client.get(path), 400, word)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=10001", "limit=1.5", "after=-1", "after=x", "before=x", "level=loud"]
)
def test_bad_log_query_is_400(client: httpx.Client, run: str, query: str) -> None:
    problem(client.get(f"/runs/{run}/logs?{query}"), 400, query.split("=")[1])


ODD = (
    *("%00", "a%00b", "%01", "x" * 300, "x" * 5000, "%ED%A0%80", "%C0%AF", "%FF", "%F8%88%80%80%80"),
    *(
        "%2F",
        "..",
        "%2e%2e",
        "..%2f..%2fetc%2fpasswd",
        "%5C..%5C",
        "%",
        "%zz",
        "%0D%0Ax:y",
        "%1B%5D0;x%07",
    ),
    *("%C2%9B", "%E2%80%AE", "%EF%BB%BF", "%D9%A3", "%27", "9" * 30, "1e400", "NaN", "-1"),
)
"""What may be in a path or a query: NUL, names that no file has, surrogates, overlong UTF-8, dots."""


def odd_requests(run: str) -> Iterator[tuple[str, str]]:
    """Every parameter of every path and query with every odd value, and odd names of parameters."""
    streams = ("topic", "types", "tail", "last_event_id", "unnamed")
    for value in ODD:
        for endpoint in ENDPOINTS:
            if "{id}" in endpoint.path:
                yield endpoint.method, endpoint.path.replace("{id}", value)
            path = endpoint.path.replace("{id}", run)
            yield from ((endpoint.method, f"{path}?{name}={value}") for name in endpoint.query)
            yield endpoint.method, f"{endpoint.path.replace('{id}', 'nobody')}?{value}={value}"
        yield from (("GET", f"{path}{value}") for path in ("/static/", "/", "/events/", "/runs/"))
        # a stream that would begin ends at once, because there is nothing left
        yield from (("GET", f"/events?topic=experiments:run:nobody&{name}={value}") for name in streams)


def test_odd_paths_and_queries_are_no_errors_of_the_service(
    client: httpx.Client, shared_service: Service
) -> None:
    """Sent as they are: a client of HTTP would normalise some of them."""
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json={"message": "x", "metadata": {"stream": "stderr"}})
    connection = http.client.HTTPConnection("127.0.0.1", shared_service.port, timeout=PATIENCE)
    count = 0
    for method, target in odd_requests(run):
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", "2")
        connection.endheaders(b"{}")
        with connection.getresponse() as response:
            response.read()
        assert response.status < 500, (method, target)
        if target.startswith("/static/"):
            assert response.status == 404, target
        count += 1
    connection.close()
    assert count > 1500
    assert "Traceback" not in shared_service.log.read_text()


def test_broken_json_at_line_3_is_named_and_nothing_is_stored(client: httpx.Client, run: str) -> None:
    body = '{"message": "one"}\n{"message": "two"}\n{"message": "thr\n{"message": "four"}\n'
    for headers in (NDJSON, JSON, {}):
        response = client.post(f"/runs/{run}/logs", content=body, headers=headers)
        errors = problem(response, 422, "line 3")["errors"]
        assert [error["line"] for error in errors] == [3]
        assert errors[0]["path"] == "$"
        assert errors[0]["detail"]
    assert stored(client, run) == 0


@pytest.mark.parametrize(
    ("end", "body", "line", "path"),
    [
        ("logs", '{"message": 1}', 1, "$.message"),
        ("logs", '{"level": "info"}', 1, "$"),
        ("logs", '{"message": "x", "level": "loud"}', 1, "$.level"),
        ("logs", '{"message": "x", "level": "INFO"}', 1, "$.level"),
        ("logs", '{"message": "x", "metadata": [1]}', 1, "$.metadata"),
        ("logs", '{"message": "x", "timestamp": "yesterday"}', 1, "$.timestamp"),
        ("logs", '{"message": "x", "timestamp": "2026-01-01T00:00:00"}', 1, "$.timestamp"),
        ("logs", '[{"message": "x"}, {"message": null}]', 2, "$[1].message"),
        ("logs", '{"message": "x"}\n\n{"message": {}}', 3, "$.message"),
        ("logs", '"just text"', 1, "$"),
        ("results", '{"key": "loss"}', 1, "$"),
        ("results", '{"key": "", "value": 1}', 1, "$.key"),
        ("results", '{"key": 5, "value": 1}', 1, "$.key"),
        ("results", '{"key": "k", "value": NaN}', 1, "$"),
        ("results", '{"key": "k", "value": 1, "step": 9007199254740994.0}', 1, "$.step"),
        ("progress", '{"current": -1}', 1, "$.current"),
        ("progress", '{"total": 10}', 1, "$"),
        ("progress", '{"current": "3"}', 1, "$.current"),
        ("progress", '{"current": true}', 1, "$.current"),
        ("events", '{"message": "x"}', 1, "$"),
        ("events", '{"type": "run_started"}', 1, "$.type"),
        ("events", '{"type": "run_log", "message": "x"}\n{"type": "run_result"}', 2, "$"),
    ],
)
def test_wrong_entry_is_422_with_its_line_and_path(
    client: httpx.Client, run: str, end: str, body: str, line: int, path: str
) -> None:
    headers = JSON if body[0] in '["' else NDJSON
    response = client.post(f"/runs/{run}/{end}", content=body, headers=headers)
    errors = problem(response, 422)["errors"]
    assert (errors[0]["line"], errors[0]["path"]) == (line, path), errors
    assert stored(client, run) == 0
    assert client.get(f"/runs/{run}").json()["progress"] is None


@pytest.mark.parametrize("end", ["logs", "results", "progress", "events"])
@pytest.mark.parametrize("headers", [JSON, NDJSON, {}])
def test_empty_body_is_422(client: httpx.Client, run: str, end: str, headers: dict[str, str]) -> None:
    for body in (b"", b" \n "):
        problem(client.post(f"/runs/{run}/{end}", content=body, headers=headers), 422, "empty")
    problem(client.post(f"/runs/{run}/logs", content=b"", headers=TEXT), 422, "empty")
    problem(client.post(f"/runs/{run}/{end}", content=b"[]", headers=JSON), 422)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        *(("", "$"), ("[]", "$"), ("{}", "$"), ('{"name": ""}', "$.name"), ('{"name": 5}', "$.name")),
        ('{"name": "' + "x" * 201 + '"}', "$.name"),
        ('{"name": "x", "configuration": []}', "$.configuration"),
        *(('{"name": "x", "id": "a b"}', "$.id"), ('{"name": "x", "id": "a\\n"}', "$.id")),
        ('{"name": "x", "id": "' + "x" * 65 + '"}', "$.id"),
        ('{"name": "x", "description": 5}', "$.description"),
    ],
)
def test_wrong_instance_is_422(client: httpx.Client, body: str, path: str) -> None:
    before = len(client.get("/instances?limit=1000").json()["instances"])
    errors = problem(client.post("/instances", content=body), 422).get("errors", [{"path": "$"}])
    assert errors[0]["path"] == path
    assert len(client.get("/instances?limit=1000").json()["instances"]) == before


def test_invalid_id_in_a_path_is_refused(client: httpx.Client) -> None:
    problem(client.put("/instances/a%20b", json={"name": "x"}), 422, "id")


def test_invalid_utf8_is_422_in_json_and_replaced_in_text(client: httpx.Client, run: str) -> None:
    body = b'{"message": "fine"}\n{"message": "\xff"}'
    errors = problem(client.post(f"/runs/{run}/logs", content=body, headers=NDJSON), 422)["errors"]
    assert errors[0]["line"] == 2
    response = client.post(f"/runs/{run}/logs", content=b"caf\xe9\n", headers=TEXT)
    assert response.status_code == 201
    assert client.get(f"/runs/{run}/logs").json()["logs"][0]["message"] == "caf\ufffd"


def test_deep_nesting_is_422(client: httpx.Client, run: str) -> None:
    deep = '{"key": "k", "value": ' + "[" * 100_000 + "]" * 100_000 + "}"
    problem(client.post(f"/runs/{run}/results", content=deep, headers=NDJSON), 422, "deep")


def test_body_over_8_mib_is_413(client: httpx.Client, run: str) -> None:
    body = b"x" * (8 * 1024 * 1024 + 1)
    problem(client.post(f"/runs/{run}/logs", content=body, headers=TEXT), 413, "8388608")

    def chunks() -> Any:
        for _ in range(9):
            yield b"x\n" * (512 * 1024)

    problem(client.post(f"/runs/{run}/logs", content=chunks(), headers=TEXT), 413, "8388608")
    assert stored(client, run) == 0


@pytest.mark.parametrize("chunked", [False, True])
def test_client_that_sends_a_long_body_to_its_end_gets_413(
    chunked: bool, shared_service: Service, run: str
) -> None:
    """A proxy does so. A response before the end would close the connection, and could be lost."""
    size = 2 * 8 * 1024 * 1024
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    with socket.create_connection(("127.0.0.1", shared_service.port)) as connection:
        head = (
            f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: text/plain\r\n{framing}\r\n\r\n"
        )
        connection.sendall(head.encode())
        piece = b"x" * 65536
        for _ in range(size // len(piece)):
            connection.sendall(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
        connection.sendall(b"0\r\n\r\n" if chunked else b"")
        # reading to the end shows that the connection is closed in order, and not reset
        with connection.makefile("rb") as response:
            assert response.read().startswith(b"HTTP/1.1 413 ")


def test_message_over_256_kib_is_413_with_its_line(client: httpx.Client, run: str) -> None:
    limit = 256 * 1024
    fits = json.dumps({"message": "ü" * (limit // 2)}, ensure_ascii=False)
    over = json.dumps({"message": "ü" * (limit // 2) + "x"}, ensure_ascii=False)
    response = client.post(f"/runs/{run}/logs", content=f"{fits}\n{over}".encode(), headers=NDJSON)
    assert problem(response, 413, "262144")["errors"][0]["line"] == 2
    problem(client.post(f"/runs/{run}/logs", content=b"x" * (limit + 1), headers=TEXT), 413)
    assert stored(client, run) == 0
    response = client.post(f"/runs/{run}/logs", content=fits.encode(), headers=NDJSON)
    assert response.status_code == 201


def test_more_lines_than_the_ring_holds_is_413(client: httpx.Client, run: str) -> None:
    problem(client.post(f"/runs/{run}/logs", content=b"\n" * 100_001, headers=TEXT), 413, "100000")


@pytest.mark.parametrize("end", ["logs", "results", "progress", "events"])
def test_unread_media_type_is_415(client: httpx.Client, run: str, end: str) -> None:
    response = client.post(f"/runs/{run}/{end}", content=b"x", headers={"Content-Type": "image/png"})
    problem(response, 415, "image/png", "application/x-ndjson")
    if end != "logs":
        problem(client.post(f"/runs/{run}/{end}", content=b"x", headers=TEXT), 415)


def test_compressed_body_is_415(client: httpx.Client, run: str) -> None:
    body = gzip.compress(b'{"message": "x"}')
    response = client.post(f"/runs/{run}/logs", content=body, headers={"Content-Encoding": "gzip"})
    problem(response, 415, "gzip")
    assert stored(client, run) == 0


STEPS = ("start", "complete", "fail", "cancel", "cancelled")
ALLOWED = {
    ("pending", "start"): "running",
    ("pending", "cancel"): "cancelled",
    ("pending", "cancelled"): "cancelled",
    ("running", "start"): "running",
    ("running", "complete"): "completed",
    ("running", "fail"): "failed",
    ("running", "cancel"): "running",
    ("running", "cancelled"): "cancelled",
    ("completed", "complete"): "completed",
    ("failed", "fail"): "failed",
    ("cancelled", "cancel"): "cancelled",
    ("cancelled", "cancelled"): "cancelled",
}
WAYS = {
    "pending": (),
    "running": ("start",),
    "completed": ("start", "complete"),
    "failed": ("start", "fail"),
    "cancelled": ("cancel",),
}


@pytest.mark.parametrize("status", WAYS)
@pytest.mark.parametrize("step", STEPS)
def test_steps_are_allowed_as_in_the_table(client: httpx.Client, status: str, step: str) -> None:
    run = new_run(client, start=False)
    for way in WAYS[status]:
        client.post(f"/runs/{run}/{way}").raise_for_status()
    before = client.get(f"/runs/{run}").json()
    assert before["status"] == status
    response = client.post(f"/runs/{run}/{step}")
    if (status, step) in ALLOWED:
        assert response.status_code == 200
        assert response.json()["status"] == ALLOWED[status, step]
    else:
        problem(response, 409, status)
        assert client.get(f"/runs/{run}").json()["status"] == status


@pytest.mark.parametrize("status", ["pending", "completed", "failed", "cancelled"])
def test_lines_for_a_run_that_is_not_running_are_409(client: httpx.Client, status: str) -> None:
    run = new_run(client, start=False)
    for way in WAYS[status]:
        client.post(f"/runs/{run}/{way}").raise_for_status()
    for headers in ({}, {"Prefer": "respond-async"}):
        problem(client.post(f"/runs/{run}/logs", json={"message": "x"}, headers=headers), 409, status)
    problem(client.post(f"/runs/{run}/progress", json={"current": 1}), 409, status)
    assert stored(client, run) == 0


def test_id_that_exists_is_409(client: httpx.Client) -> None:
    client.post("/instances", json={"id": "taken", "name": "x"}).raise_for_status()
    problem(client.post("/instances", json={"id": "taken", "name": "y"}), 409, "taken")
    client.post("/instances", json={"id": "other", "name": "x"}).raise_for_status()
    client.post("/instances/taken/runs", json={"id": "taken-run"}).raise_for_status()
    problem(client.post("/instances/other/runs", json={"id": "taken-run"}), 409, "taken-run")
    assert client.get("/instances/taken").json()["name"] == "x"


def test_idempotency_key_again_stores_nothing_whatever_the_body(client: httpx.Client, run: str) -> None:
    headers = {"Idempotency-Key": "k" * 128}
    first = client.post(f"/runs/{run}/logs", json=[{"message": "a"}, {"message": "b"}], headers=headers)
    assert first.status_code == 201
    assert first.json()["accepted"] == 2
    for body in ([{"message": "a"}, {"message": "b"}], {"message": "something else"}):
        again = client.post(f"/runs/{run}/logs", json=body, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["Idempotency-Replayed"] == "true"
    again = client.post(f"/runs/{run}/results", json={"key": "k", "value": 1}, headers=headers)
    assert again.json() == first.json()
    assert stored(client, run) == 2
    other = new_run(client)
    assert client.post(f"/runs/{other}/logs", json={"message": "a"}, headers=headers).status_code == 201
    assert stored(client, other) == 1
    client.post(f"/runs/{run}/complete").raise_for_status()
    assert client.post(f"/runs/{run}/logs", json={"message": "a"}, headers=headers).json() == first.json()


@pytest.mark.parametrize("key", ["", "k" * 129])
def test_bad_idempotency_key_is_400(client: httpx.Client, run: str, key: str) -> None:
    response = client.post(f"/runs/{run}/logs", json={"message": "a"}, headers={"Idempotency-Key": key})
    problem(response, 400, "128")
    assert stored(client, run) == 0


def test_client_that_closes_in_the_middle_stores_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as service:
        client = service.client()
        run = new_run(client)
        for sent in (b"", b'{"message": "half'):
            with socket.create_connection(("127.0.0.1", service.port)) as connection:
                head = f"POST /runs/{run}/logs HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 1000\r\n\r\n"
                connection.sendall(head.encode() + sent)
        wait_until(lambda: client.get("/healthz").status_code == 200, "health")
        assert stored(client, run) == 0
        assert client.post(f"/runs/{run}/logs", json={"message": "x"}).status_code == 201
        service.terminate()
        assert "Traceback" not in service.log.read_text()


def test_unknown_path_is_404_and_wrong_method_405(client: httpx.Client) -> None:
    problem(client.get("/nowhere"), 404, "/nowhere")
    response = client.delete("/runs")
    problem(response, 405)
    assert "GET" in response.headers["Allow"]
    problem(client.get("/static/../app.py"), 404)
    problem(client.get("/static/%2e%2e/app.py"), 404)


def test_write_from_another_sites_page_is_403(shared_service: Service, client: httpx.Client) -> None:
    foreign = {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}
    problem(
        client.post("/instances", json={"name": "x"}, headers=foreign), 403, "ATHANOR_ALLOWED_ORIGINS"
    )
    own = {"Sec-Fetch-Site": "same-origin", "Origin": shared_service.url}
    assert client.post("/instances", json={"name": "x"}, headers=own).status_code == 201


def test_allowed_origin_may_write_and_read(tmp_path: Path) -> None:
    origin = "https://lab.example"
    with running(tmp_path, allowed_origins=f"{origin}, https://other.example") as service:
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": origin}
        response = service.client().post("/instances", json={"name": "x"}, headers=headers)
        assert response.status_code == 201
        assert response.headers["Access-Control-Allow-Origin"] == origin
        headers["Origin"] = "https://elsewhere.example"
        problem(service.client().post("/instances", json={"name": "x"}, headers=headers), 403)
