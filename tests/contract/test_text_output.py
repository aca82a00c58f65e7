"""What leaves the service as text: it obeys no client's control characters, and forges no line."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from athanor.exceptions import DatabaseUnavailable, Fault, InvalidInput, RingFull
from athanor.protocol.encoding import encode, safe_json
from athanor.protocol.safe_text import one_line, sanitized, visible
from athanor.web import problems
from athanor.web.history import harmless
from athanor.web.problems import problem_of

from ..support import plain
from ..support.follower import wait_until
from ..support.hostile import ALL, CORPUS, FORGED, lone_replaced, unsafe_in
from ..support.service import Service, new_run

TEXT, CSV = {"Accept": "text/plain"}, {"Accept": "text/csv"}
STORED = [lone_replaced(text) for text in CORPUS]


@pytest.fixture(scope="module")
def reported(shared_service: Service) -> dict[str, str]:
    """The ids of an instance and of its run, in which every text that a client chooses is hostile."""
    with plain.client(base_url=shared_service.url) as client:

        def post(path: str, body: Any) -> dict[str, Any]:
            answer = client.post(path, content=json.dumps(body)).raise_for_status()
            return dict(answer.json())

        name = "\x1b]0;name\x07\u202e" + FORGED
        instance = post("/instances", {"name": name, "description": ALL, "configuration": {ALL: ALL}})
        run = post(f"/instances/{instance['id']}/runs", {"metadata": {"name": ALL, ALL: ALL}})["id"]
        post(f"/runs/{run}/start", {})
        post(f"/runs/{run}/logs", [{"message": m, "metadata": {m: m}} for m in [*CORPUS, FORGED]])
        results = [{"key": f"{m[:150]}k", "value": {m: m}} for m in [*CORPUS, FORGED]]
        post(f"/runs/{run}/results", results)
        post(f"/runs/{run}/progress", {"current": 1, "message": FORGED + ALL})
        post(f"/runs/{run}/fail", {"error": FORGED + ALL})
        return {"instance": instance["id"], "run": run}


def test_plain_text_is_safe_in_streams_and_lists(client: httpx.Client, reported: dict[str, str]) -> None:
    run, instance = reported["run"], reported["instance"]
    stream = client.get(f"/events/experiments:run:{run}?last_event_id=0", headers=TEXT).text
    lists = [client.get(f"/runs/{run}/{what}", headers=TEXT).text for what in ("logs", "results")]
    running = new_run(client)
    body = json.dumps({"current": 1, "message": FORGED + ALL})
    client.post(f"/runs/{running}/progress", content=body).raise_for_status()
    progress = _first_bytes(client, f"/events/experiments:run:{running}?types=run_progress", b"progress")
    life = _first_bytes(client, f"/events/experiments:instance:{instance}?last_event_id=0", b"failed")
    for text in (stream, *lists, progress, life):
        assert not unsafe_in(text)
        assert "forged" in text
        assert not [line for line in text.splitlines() if line.startswith(("athanor: ", "2026-01-01"))]
    assert lists[0].count("\n") == len(CORPUS) + 3
    assert lists[1].count("\n") == len(CORPUS) + 1
    # what is shown of it is still there
    for words in ("red", "hidden", r"over\x0dwritten", r"\u202eoverride", r"\x9b2J", r"del\x7f"):
        assert words in lists[0]


def _first_bytes(client: httpx.Client, path: str, until: bytes) -> str:
    """A stream in plain text, up to the line in which `until` is."""
    data = b""
    with client.stream("GET", path, headers=TEXT) as response:
        for piece in response.iter_bytes():
            data += piece
            if until in data and data.endswith(b"\n"):
                break
    return data.decode()


def test_json_is_safe_everywhere_and_keeps_its_values(
    client: httpx.Client, reported: dict[str, str]
) -> None:
    run, instance = reported["run"], reported["instance"]
    for path in (f"/runs/{run}", "/runs?limit=1000", "/instances?limit=1000", f"/instances/{instance}"):
        text = client.get(path).content.decode()
        assert not unsafe_in(text)
    for accept in ("application/json", "application/x-ndjson"):
        text = client.get(f"/runs/{run}/logs", headers={"Accept": accept}).content.decode()
        assert not unsafe_in(text)
        lines = [json.loads(line) for line in text.rstrip("\n").split("\n")]
        entries = lines[0].get("logs", lines)
        assert [entry["message"] for entry in entries] == [*STORED, FORGED]
    for accept in ("text/event-stream", "application/x-ndjson"):
        path = f"/events/experiments:run:{run}?last_event_id=0"
        assert not unsafe_in(client.get(path, headers={"Accept": accept}).content.decode())


CELLS = {
    "=1+1": "'=1+1", "+1+1": "'+1+1", "-1+1": "'-1+1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1",
    "\r=1": "'\\x0d=1", "\n=1": "'\n=1", '"=1': "'\"=1", "'=1": "''=1", "\uff1d1": "'\uff1d1",
    "--flag": "'--flag", "-": "'-", "=": "'=", "-1.5.2": "'-1.5.2", "-1 000": "'-1 000",
    "-1.5": "-1.5", "+2": "+2", "-1e-05": "-1e-05", "-.5": "-.5", "-Infinity": "-Infinity",
    "a=b": "a=b", " =1": " =1", "": "", "plain, text": "plain, text", "-\u0663": "'-\u0663",
    "\x1b]0;x\x07": "\\x1b]0;x\\x07", "a\r\nb": "a\nb",
}  # fmt: skip


def test_a_cell_of_csv_is_no_formula_unless_it_is_asked_for_exactly(
    client: httpx.Client, reported: dict[str, str]
) -> None:
    assert {cell: harmless(cell) for cell in CELLS} == CELLS
    run = new_run(client)
    body = [{"message": cell, "metadata": {"=1": 1}} for cell in CELLS]
    client.post(f"/runs/{run}/logs", content=json.dumps(body)).raise_for_status()
    values = [{"key": "=k", "value": value} for value in (-1.5, "=1", "-Infinity", [1], None, True)]
    client.post(f"/runs/{run}/results", content=json.dumps(values)).raise_for_status()

    def rows(path: str) -> list[dict[str, str]]:
        text = client.get(path, headers=CSV).content.decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))

    for option, expected in (("", CELLS.values()), ("?exact=0", CELLS.values()), ("?exact=1", CELLS)):
        assert [row["message"] for row in rows(f"/runs/{run}/logs{option}")] == list(expected)
    results = rows(f"/runs/{run}/results")
    assert [row["value"] for row in results] == ["-1.5", "'=1", "-Infinity", "[1]", "", "true"]
    assert {row["key"] for row in results} == {"'=k"}
    assert {row["key"] for row in rows(f"/runs/{run}/results?exact=1")} == {"=k"}
    hostile = reported["run"]
    shown = client.get(f"/runs/{hostile}/logs", headers=CSV).content.decode()
    assert not unsafe_in(shown.replace("\r\n", "\n"))
    assert [row["message"] for row in rows(f"/runs/{hostile}/logs?exact=1")] == [*STORED, FORGED]
    # the option stays on the next page
    page = client.get(f"/runs/{run}/logs?exact=1&limit=1", headers=CSV)
    assert "exact=1" in page.links["next"]["url"]


def test_problems_are_safe_and_bounded(client: httpx.Client) -> None:
    run = new_run(client)
    long = '\x9b\u202e%"' * 1500
    for path in (
        *("/nothing/{}", "/static/{}", "/runs/{}", "/events/{}", "/events?topic={}", "/runs?limit={}"),
        *("/runs?status={}", f"/runs/{run}/logs?level={{}}", "/events/experiments:runs?types={}"),
        *("/events/experiments:runs?last_event_id={}", "/instances/{}"),
    ):
        for text in (lone_replaced(ALL).replace("\0", ""), long):
            answer = client.get(path.format(quote(text, safe="")))
            assert 400 <= answer.status_code < 500, path
            assert not unsafe_in(answer.content.decode())
            assert len(json.dumps(answer.json()["detail"], ensure_ascii=False).encode()) <= 2050
    for body in (b'{"level": "%b", "message": "x"}\n' % (b"\xc2\x9b" * 50_000), b'{"a": \x1b\xc2\x9b}\n'):
        ndjson = {"Content-Type": "application/x-ndjson"}
        answer = client.post(f"/runs/{run}/logs", content=body * 30, headers=ndjson)
        assert answer.status_code == 422
        assert not unsafe_in(answer.text)
        assert len(answer.content) < 32_000
        assert len(answer.json()["errors"]) == 20


def test_a_problem_keeps_the_reason_of_the_database_in_the_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one line for a while, so another test may have had it
    monkeypatch.setattr(problems, "_trouble", problems._Trouble())
    secret = "connection to db.internal (10.0.0.7) as alice failed\x1b]0;x\x07: /var/lib/athanor.db"
    for error in (DatabaseUnavailable("the database can't be read", secret), RingFull("full", secret)):
        assert secret in str(error)
        body = json.loads(bytes(problem_of(error).body))
        assert body["detail"] == error.detail
        assert (body["status"], "alice" in str(body)) == (503, False)
    assert [record.getMessage().count("alice") for record in caplog.records] == [1]
    faults: list[Fault] = [{"line": 1, "path": "$" * 9999, "detail": "\x9b" * 9999}] * 20
    assert len(problem_of(InvalidInput("\U0001f525" * 9999, faults)).body) < 25_000


def test_the_services_log_is_safe(tmp_path: Path) -> None:
    """A request fails with an error that quotes it; so does a task, and a line of the service's own."""
    script = """
        import asyncio, logging
        from starlette.routing import Route
        from athanor.web.application import create_app
        from athanor.web.server import serve

        async def fail(request):
            text = request.query_params["q"]
            logging.getLogger("athanor").warning("refused: %s", text)
            logging.getLogger("asyncio").error("task: %s", text)
            raise RuntimeError(text)

        app = create_app()
        app.router.routes.insert(0, Route("/fail", fail))
        serve(app)
    """
    service = _Scripted(tmp_path, script)
    try:
        service.start()
        answer = service.client().get("/fail", params={"q": FORGED + lone_replaced(ALL)})
        assert answer.status_code == 500
        wait_until(lambda: "RuntimeError" in service.log.read_text(errors="replace"), "the error")
        assert service.terminate() == 0
    finally:
        service.close()
    log = service.log.read_bytes().decode()
    assert log.count("forged") >= 6
    assert not unsafe_in(log)
    assert "refused: a\\nathanor: forged" in log


class _Scripted(Service):
    """A service that a script of the test starts."""

    def __init__(self, folder: Path, script: str) -> None:
        super().__init__(folder)
        self._script = script

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(self._script)],
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def test_each_text_is_made_safe_by_itself_and_colours_stay_where_they_are_wanted() -> None:
    for text in CORPUS:
        for shown in (sanitized(text), one_line(text), visible(text), sanitized(sanitized(text, True))):
            assert not unsafe_in(shown), repr(text)
        assert json.loads(encode(text)) == lone_replaced(text)
        assert not unsafe_in(encode(text).decode())
        raw = json.dumps(lone_replaced(text), ensure_ascii=False).encode()
        assert json.loads(safe_json(raw)) == json.loads(raw)
        assert not unsafe_in(safe_json(raw).decode())
    assert sanitized("\x1b[1;31mred", colours=True) == "\x1b[1;31mred\x1b[0m"
    assert sanitized("\x1b[8mhidden\x1b[2J", colours=True) == "hidden"
    assert sanitized("a\tb\nc\u200d\u200b") == "a\tb\nc\u200d\u200b"
    assert one_line("a\r\nb") == "a\\nb"
    assert visible("\x1b[31mred") == r"\x1b[31mred"
