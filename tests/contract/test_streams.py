"""Streams as the protocol defines them: topics, cursors, filters, formats, beginning and end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from ..support.follower import Follower, wait_until
from ..support.service import Service, lines_in, new_run, running

Events = list[tuple[str, dict[str, Any]]]


@contextmanager
def stream(
    client: httpx.Client, path: str, **headers: str
) -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
    """An open stream as pairs of (id, data); an event's name is the type in its data."""
    with client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200, response.read()

        def events() -> Iterator[tuple[str, dict[str, Any]]]:
            for event in EventSource(response).iter_sse():
                if event.data:
                    data = json.loads(event.data)
                    assert event.event in (data["type"], "message")
                    yield event.id, data

        yield events()


def read_all(client: httpx.Client, path: str, **headers: str) -> Events:
    """All events of a stream that ends."""
    with stream(client, path, **headers) as events:
        return list(events)


def types(events: Events) -> list[str]:
    return [data["type"] for _, data in events]


def take(events: Iterator[tuple[str, dict[str, Any]]], count: int) -> Events:
    return [next(events) for _ in range(count)]


def path_of(run: str) -> str:
    return f"/events/experiments:run:{run}"


def log(client: httpx.Client, run: str, *messages: str) -> str:
    """Log messages in one request; the cursor after them."""
    body = [{"message": message} for message in messages]
    response = client.post(f"/runs/{run}/logs", json=body).raise_for_status().json()
    return str(response["last_event_id"])


def cursor_now(client: httpx.Client) -> str:
    return str(client.get("/instances?limit=1").json()["last_event_id"])


def test_instances_topic_has_their_life(service: Service) -> None:
    client = service.client()
    client.put("/instances/i", json={"name": "i"})
    client.patch("/instances/i", json={"description": "changed"})
    client.post("/instances/i/runs", json={"id": "a"})
    client.put("/instances/i", json={"name": "i"})
    # the second one changes nothing, so there is no event
    client.put("/instances/i", json={"name": "i"})
    client.delete("/instances/i")
    events = read_all_from_start(client, "experiments:instances", 4)
    assert types(events) == ["instance_created", *["instance_updated"] * 2, "instance_deleted"]
    assert events[1][1]["instance"]["description"] == "changed"
    assert events[2][1]["instance"]["description"] is None
    assert events[3][1]["instance_id"] == "i"


def read_all_from_start(client: httpx.Client, topic: str, count: int) -> Events:
    with stream(client, f"/events/{topic}?last_event_id=0") as events:
        return take(events, count)


def test_a_runs_life_is_on_three_topics(service: Service) -> None:
    client = service.client()
    client.put("/instances/i", json={"name": "i"})
    life = []
    for run, steps in (
        ("a", ("start", "complete")),
        ("b", ("start", "fail")),
        ("c", ("start", "cancel", "cancelled")),
    ):
        client.post("/instances/i/runs", json={"id": run})
        life.append("run_created")
        for step in steps:
            body = {"error": "no memory"} if step == "fail" else None
            client.post(f"/runs/{run}/{step}", json=body).raise_for_status()
        log_of = {"start": "run_started", "complete": "run_completed", "fail": "run_failed"}
        life += [
            {**log_of, "cancel": "run_cancel_requested", "cancelled": "run_cancelled"}[s] for s in steps
        ]
    for topic in ("experiments:runs", "experiments:instance:i"):
        assert types(read_all_from_start(client, topic, len(life))) == life
    failed = read_all(client, f"{path_of('b')}?last_event_id=0")
    assert types(failed) == ["run_created", "run_started", "run_failed"]
    assert failed[-1][1]["error"] == failed[-1][1]["run"]["error"] == "no memory"
    several = "&".join(f"topic=experiments:{name}" for name in ("runs", "instance:i", "run:a"))
    with stream(client, f"/events?{several}&last_event_id=0") as events:
        assert types(take(events, len(life))) == life


def test_entries_are_on_the_topic_of_the_run_alone(client: httpx.Client) -> None:
    run = new_run(client)
    begin = cursor_now(client)
    log(client, run, "one")
    log(client, run, "two", "three")
    client.post(f"/runs/{run}/results", json={"key": "k", "value": {"any": ["json", None]}})
    client.post(f"/runs/{run}/results", json=[{"key": "k", "value": 2}, {"key": "k", "value": 3}])
    client.post(f"/runs/{run}/complete")
    with stream(client, f"/events/experiments:runs?last_event_id={begin}") as events:
        # progress of other tests' runs may come first
        assert next(data["type"] for id, data in events if id) == "run_completed"
    events_of_run = read_all(client, f"{path_of(run)}?last_event_id={begin}")
    assert [line["message"] for _, data in events_of_run for line in lines_in(data)] == [
        "one",
        "two",
        "three",
    ]
    values = [
        result["value"]
        for _, data in events_of_run
        for result in data.get("results", [data["result"]] if "result" in data else [])
    ]
    assert values == [{"any": ["json", None]}, 2, 3]


def test_live_stream_sends_the_entries_of_a_flush_as_one_event(client: httpx.Client) -> None:
    run = new_run(client)
    with stream(client, path_of(run)) as events:
        one = log(client, run, "alone")
        assert next(events) == (one, {"type": "run_log", "run_id": run, "log": entry(client, run, 1)})
        many = log(client, run, "a", "b", "c")
        logs = [entry(client, run, seq) for seq in (2, 3, 4)]
        assert next(events) == (many, {"type": "run_logs", "run_id": run, "logs": logs})


def entry(client: httpx.Client, run: str, seq: int) -> dict[str, Any]:
    entries: list[dict[str, Any]] = client.get(f"/runs/{run}/logs?after={seq - 1}&limit=1").json()["logs"]
    return entries[0]


def test_nothing_is_shown_before_it_is_committed(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    follower = Follower(service.url, path_of(run))
    follower.start()
    wait_until(lambda: follower.connections, "the stream")
    database = sqlite3.connect(service.database)
    checked = 0
    for number in range(30):
        client.post(
            f"/runs/{run}/logs", json={"message": str(number)}, headers={"Prefer": "respond-async"}
        )
        wait_until(lambda: len(follower.seqs) > checked, "the line")  # noqa: B023
        stored = database.execute("SELECT count(*) FROM logs WHERE run_id = ?", (run,)).fetchone()[0]
        checked = len(follower.seqs)
        assert stored >= checked
    database.close()
    client.post(f"/runs/{run}/complete")
    follower.finish()
    assert follower.seqs == list(range(1, 31))


def test_begins_with_retry_and_a_comment_and_the_headers(client: httpx.Client) -> None:
    run = new_run(client)
    retries = set()
    for _ in range(5):
        with client.stream("GET", path_of(run)) as response:
            first = next(response.iter_raw()).decode()
        name, retry = first.split("\n")[0].split(": ")
        assert name == "retry"
        assert 1000 <= int(retry) <= 3000
        retries.add(retry)
        assert first.split("\n")[1].startswith(":")
    assert len(retries) > 1
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store, no-transform"
    assert response.headers["X-Accel-Buffering"] == "no"
    head = client.head(path_of(run))
    assert (head.status_code, head.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")


def test_late_viewer_gets_the_last_progress_without_an_id(client: httpx.Client) -> None:
    run = new_run(client)
    for current in range(5):
        client.post(f"/runs/{run}/progress", json={"current": current, "total": 10, "message": "m"})
    instance = client.get(f"/runs/{run}").json()["instance_id"]
    shown = {
        **{"type": "run_progress", "run_id": run, "instance_id": instance},
        **{"current": 4, "total": 10, "message": "m"},
    }
    of_instance = f"/events/experiments:instance:{instance}?types=run_progress"
    for path in (path_of(run), f"{path_of(run)}?types=run_progress", of_instance):
        with stream(client, path) as events:
            assert next(events) == ("", shown)
    with stream(client, "/events/experiments:runs?types=run_progress") as events:
        while next(events) != ("", shown):
            pass
    assert client.get(f"/runs/{run}").json()["progress"]["current"] == 4
    # the last progress of a run that has ended can be read, and is not sent on connecting
    client.post(f"/runs/{run}/complete")
    assert client.get(f"/runs/{run}").json()["progress"]["current"] == 4
    other = new_run(client)
    client.post(f"/runs/{other}/progress", json={"current": 1})
    path = f"/events?topic=experiments:run:{run}&topic=experiments:run:{other}"
    with stream(client, path) as events:
        assert next(events)[1]["run_id"] == other


def test_the_topic_of_an_instance_carries_the_progress_of_its_runs(client: httpx.Client) -> None:
    first, other = new_run(client), new_run(client)
    instance = client.get(f"/runs/{first}").json()["instance_id"]
    second = client.post(f"/instances/{instance}/runs", json={}).json()["id"]
    client.post(f"/runs/{second}/start").raise_for_status()
    for run, current in ((first, 1), (second, 2), (other, 3)):
        client.post(f"/runs/{run}/progress", json={"current": current}).raise_for_status()
    topic = f"/events/experiments:instance:{instance}"

    def shown(event: tuple[str, dict[str, Any]]) -> tuple[str, str, int]:
        id, data = event
        assert data["type"] == "run_progress"
        assert data["instance_id"] == instance
        return id, data["run_id"], data["current"]

    with stream(client, topic) as events:
        # those known on connecting, then live ones
        known = {shown(next(events)), shown(next(events))}
        assert known == {("", first, 1), ("", second, 2)}
        client.post(f"/runs/{other}/progress", json={"current": 4}).raise_for_status()
        client.post(f"/runs/{first}/progress", json={"current": 5}).raise_for_status()
        assert shown(next(events)) == ("", first, 5)
        client.post(f"/runs/{second}/fail").raise_for_status()
        id, data = next(events)
        assert (bool(id), data["type"]) == (True, "run_failed")
    # nothing of a run that has ended; and nothing if other types are wanted
    with stream(client, topic) as events:
        assert shown(next(events)) == ("", first, 5)
        client.patch(f"/instances/{instance}", json={"name": "renamed"}).raise_for_status()
        assert next(events)[1]["type"] == "instance_updated"
    with stream(client, f"{topic}?types=run_completed,instance_updated") as events:
        client.post(f"/runs/{first}/progress", json={"current": 6}).raise_for_status()
        client.post(f"/runs/{first}/complete").raise_for_status()
        assert next(events)[1]["type"] == "run_completed"
    # one subscription to both topics receives a progress once
    third = client.post(f"/instances/{instance}/runs", json={}).json()["id"]
    client.post(f"/runs/{third}/start").raise_for_status()
    path = f"/events?topic=experiments:instance:{instance}&topic=experiments:run:{third}"
    with stream(client, path) as events:
        client.post(f"/runs/{third}/progress", json={"current": 7}).raise_for_status()
        assert shown(next(events)) == ("", third, 7)
        client.post(f"/runs/{third}/complete").raise_for_status()
        assert next(events)[1]["type"] == "run_completed"


def test_newest_progress_arrives_before_the_end_and_not_all_of_it(client: httpx.Client) -> None:
    run = new_run(client)
    cursor = cursor_now(client)
    with stream(client, f"{path_of(run)}?last_event_id={cursor}") as events:
        body = "\n".join(json.dumps({"type": "run_progress", "current": n}) for n in range(1, 4))
        for _ in range(30):
            client.post(f"/runs/{run}/progress", json={"current": 0})
        client.post(f"/runs/{run}/events", content=body, headers={"Content-Type": "application/x-ndjson"})
        client.post(f"/runs/{run}/complete")
        got = list(events)
    assert types(got)[-1] == "run_completed"
    assert got[-2][1]["current"] == 3
    assert 2 <= len(got) < 30
    assert {id for id, _ in got[:-1]} == {""}


def test_cursor_resumes_by_header_or_query_and_the_header_wins(client: httpx.Client) -> None:
    run = new_run(client)
    cursors = [log(client, run, f"line {number}") for number in range(5)]
    client.post(f"/runs/{run}/complete")
    for number, cursor in enumerate(cursors):
        rest = [f"line {n}" for n in range(number + 1, 5)]
        for events in (
            read_all(client, f"{path_of(run)}?last_event_id={cursor}"),
            read_all(client, f"{path_of(run)}?last_event_id=0", **{"Last-Event-ID": cursor}),
        ):
            assert [line["message"] for _, data in events for line in lines_in(data)] == rest
    whole = read_all(client, f"{path_of(run)}?last_event_id=0")
    assert types(whole)[:2] == ["run_created", "run_started"]
    numbers = [int(id.split("-")[1]) for id, _ in whole]
    assert numbers == sorted(set(numbers))


def test_no_cursor_begins_now_and_tail_begins_earlier(client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, *map(str, range(10)))
    with stream(client, path_of(run)) as events:
        log(client, run, "now")
        assert lines_in(next(events)[1])[0]["message"] == "now"
    with stream(client, f"{path_of(run)}?tail=3") as events:
        assert [line["message"] for line in lines_in(next(events)[1])] == ["8", "9", "now"]
    with stream(client, f"{path_of(run)}?tail=10000") as events:
        assert types(take(events, 2)) == ["run_created", "run_started"]
    client.post(f"/runs/{run}/complete")
    ended = read_all(client, f"{path_of(run)}?tail=2")
    assert types(ended) == ["run_log", "run_completed"]


def test_types_filter_and_singular_includes_plural(client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, "a", "b")
    client.post(f"/runs/{run}/results", json={"key": "k", "value": 1})
    log(client, run, "c")
    client.post(f"/runs/{run}/complete")
    path = f"{path_of(run)}?last_event_id=0&types="
    for wanted in ("run_log", "run_logs"):
        events = read_all(client, path + wanted)
        assert [line["message"] for _, data in events for line in lines_in(data)] == ["a", "b", "c"]
        assert set(types(events)) <= {"run_log", "run_logs"}
    assert types(read_all(client, f"{path}run_started,run_result")) == ["run_started", "run_result"]
    assert client.get(f"{path_of(run)}?types=run_progress").status_code == 204
    last = read_all(client, f"{path}run_log")[-1][0]
    assert client.get(f"{path}run_log", headers={"Last-Event-ID": last}).status_code == 204


def test_filtered_live_stream_ends_with_its_run(client: httpx.Client) -> None:
    run = new_run(client)
    with stream(client, f"{path_of(run)}?types=run_log") as events:
        log(client, run, "a")
        assert lines_in(next(events)[1])[0]["message"] == "a"
        client.post(f"/runs/{run}/complete")
        assert list(events) == []


def test_unnamed_has_no_event_lines(client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, "a")
    client.post(f"/runs/{run}/complete")
    named = client.get(f"{path_of(run)}?last_event_id=0").text
    unnamed = client.get(f"{path_of(run)}?last_event_id=0&unnamed=1").text
    assert "event: run_log\n" in named
    assert "event:" not in unnamed
    assert '"type":"run_log"' in unnamed
    strip = [line for line in named.split("\n") if not line.startswith(("event:", "retry:"))]
    assert strip == [line for line in unnamed.split("\n") if not line.startswith("retry:")]


def test_finished_run_sends_its_final_event_and_then_204(client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, "a")
    client.post(f"/runs/{run}/complete")
    events = read_all(client, path_of(run))
    assert types(events) == ["run_completed"]
    response = client.get(path_of(run), headers={"Last-Event-ID": events[0][0]})
    assert (response.status_code, response.content) == (204, b"")
    assert client.get(f"{path_of(run)}?last_event_id={cursor_now(client)}").status_code == 204


def test_deleted_instance_ends_its_stream(client: httpx.Client) -> None:
    id = client.post("/instances", json={"name": "x"}).json()["id"]
    path = f"/events/experiments:instance:{id}"
    with stream(client, path) as events:
        client.post(f"/instances/{id}/runs")
        client.delete(f"/instances/{id}").raise_for_status()
        assert types(list(events)) == ["run_created", "run_cancelled", "instance_deleted"]
    last = read_all(client, path)
    assert types(last) == ["instance_deleted"]
    assert client.get(path, headers={"Last-Event-ID": last[0][0]}).status_code == 204


def test_foreign_and_future_cursors_get_a_gap_and_then_everything(client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, "a")
    client.post(f"/runs/{run}/complete")
    whole = read_all(client, f"{path_of(run)}?last_event_id=0")
    epoch, number = cursor_now(client).split("-")
    foreign = f"{int(epoch, 16) ^ 1:06x}-5"
    future = f"{epoch}-{int(number) + 1000}"
    for cursor, reason in ((foreign, "foreign"), (future, "future")):
        events = read_all(client, f"{path_of(run)}?last_event_id={cursor}")
        gap = {"type": "gap", "after": cursor, "oldest": whole[0][0], "reason": reason}
        assert {name: events[0][1][name] for name in gap} == gap
        assert events[0][0] == ""
        assert events[1:] == whole


def test_stream_of_several_topics_outlives_its_runs(client: httpx.Client) -> None:
    first, second = new_run(client), new_run(client)
    path = f"/events?topic=experiments:run:{first}&topic=experiments:run:{second}"
    with stream(client, path) as events:
        client.post(f"/runs/{first}/complete")
        client.post(f"/runs/{second}/complete")
        assert types(take(events, 2)) == ["run_completed", "run_completed"]
    # it stays open though its runs have ended, and begins with their last event
    with stream(client, f"{path}&tail=1") as events:
        assert types(take(events, 1)) == ["run_completed"]


def test_hostile_strings_arrive_unchanged(client: httpx.Client) -> None:
    run = new_run(client)
    hostile = [
        *(
            "a\rb",
            "a\nb",
            "a\r\nb",
            "data: x\n\nevent: y",
            "a\u2028b\u2029c\x85d",
            "\ufeffbom",
            "nul\x00nul",
        ),
        *("\x1b[31mred\x07", "\U0001f525", "\u202eabc", "id: 0-0\n\n", "\x0b\x0c\x1c\x1d\x1e", ""),
    ]
    log(client, run, *hostile)
    meta = {"message": "m", "metadata": {text: text for text in hostile}}
    client.post(f"/runs/{run}/logs", json=meta).raise_for_status()
    client.post(
        f"/runs/{run}/results", json={"key": "a\u2028\n\x00b", "value": hostile}
    ).raise_for_status()
    lone = b'{"message": "lone \\ud800 \\uD83D\\uDE00 end", "metadata": {"\\udfff": 1}}'
    client.post(f"/runs/{run}/logs", content=lone).raise_for_status()
    client.post(f"/runs/{run}/complete")
    raw = client.get(f"{path_of(run)}?last_event_id=0").content
    for forbidden in (
        b"\r",
        b"\x00",
        "\u2028".encode(),
        "\u2029".encode(),
        "\x85".encode(),
        "\ufeff".encode(),
    ):
        assert forbidden not in raw
    # lines as the standard splits them, and as a client does that uses Python's splitlines
    for lines in (raw.decode().split("\n"), raw.decode().splitlines()):
        data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
        entries = [line for event in data for line in lines_in(event)]
        assert [line["message"] for line in entries[: len(hostile)]] == hostile
        assert entries[len(hostile)]["metadata"] == meta["metadata"]
        assert entries[-1]["message"] == "lone \ufffd \U0001f600 end"
        assert entries[-1]["metadata"] == {"\ufffd": 1}
        results = [event["result"] for event in data if event["type"] == "run_result"]
        assert (results[0]["key"], results[0]["value"]) == ("a\u2028\n\x00b", hostile)
    page = client.get(f"/runs/{run}/logs").json()["logs"]
    assert [line["message"] for line in page[: len(hostile)]] == hostile


def test_keep_alive_is_sent_on_an_idle_stream(tmp_path: Path) -> None:
    with running(tmp_path, keepalive=0.3) as service:
        run = new_run(service.client())
        with service.client().stream("GET", path_of(run)) as response:
            text = ""
            for chunk in response.iter_text():
                text += chunk
                if text.count(": keep-alive\n\n") == 3:
                    break
        assert "data:" not in text


def test_expired_cursor_gets_a_gap_that_names_the_topic(tmp_path: Path) -> None:
    with running(tmp_path, retention_rows=10) as service:
        client = service.client()
        run, other = new_run(client), new_run(client)
        first = log(client, run, "0")
        log(client, run, *map(str, range(1, 50)))
        service.terminate()
        # upkeep runs at the start, and then once a minute
        service.start()
        client = service.client()
        path = f"/runs/{run}/logs"
        wait_until(lambda: client.get(path).json()["total"] == 10, "retention")
        with stream(client, f"{path_of(run)}?last_event_id={first}") as events:
            id, gap = next(events)
            assert (id, gap["type"], gap["after"], gap["reason"]) == ("", "gap", first, "expired")
            assert [line["message"] for line in lines_in(next(events)[1])] == list(
                map(str, range(40, 50))
            )
        several = (
            f"/events?topic=experiments:run:{run}&topic=experiments:run:{other}&last_event_id={first}"
        )
        with stream(client, several) as events:
            assert next(events)[1]["topic"] == f"experiments:run:{run}"
        assert client.get(f"/runs/{run}").json()["log_count"] == 50
        log(client, run, "after the gap")
        assert client.get(path).json()["logs"][-1]["seq"] == 51


def test_accept_asks_for_ndjson_or_text(client: httpx.Client) -> None:
    run = new_run(client)
    client.post(f"/runs/{run}/progress", json={"current": 1, "total": 2, "message": "half"})
    with client.stream("GET", path_of(run), headers={"Accept": "application/x-ndjson"}) as response:
        assert response.headers["Content-Type"] == "application/x-ndjson"
        lines = response.iter_lines()
        assert json.loads(next(lines)) == {
            **{"type": "run_progress", "run_id": run, "current": 1, "total": 2, "message": "half"}
        }
        one = log(client, run, "one\ntwo")
        first = json.loads(next(lines))
        assert (first["id"], first["log"]["message"]) == (one, "one\ntwo")
    client.post(f"/runs/{run}/logs", json=[{"message": "a", "level": "warn"}, {"message": "b"}])
    client.post(
        f"/runs/{run}/results", json=[{"key": "k", "value": [1], "step": 3}, {"key": "k", "value": 2}]
    )
    client.post(f"/runs/{run}/fail", json={"error": "no memory"})

    def read(accept: str, query: str = "") -> httpx.Response:
        return client.get(f"{path_of(run)}?last_event_id=0{query}", headers={"Accept": accept})

    sse = read_all(client, f"{path_of(run)}?last_event_id=0")
    ndjson = [json.loads(line) for line in read("application/x-ndjson").text.splitlines()]
    assert [(event.pop("id"), event) for event in ndjson] == sse
    text = read("text/plain")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8"
    shown = [line.split(" ", 1)[-1] if line[:2] == "20" else line for line in text.text.splitlines()]
    assert shown == [
        *(f"run {run} created", f"run {run} started", "INFO  one", "    two", "WARN  a", "INFO  b"),
        *("step 3 k = [1]", "k = 2", f"run {run} failed: no memory"),
    ]
    for accept in ("*/*", "text/html, */*;q=0.5", "text/event-stream", "image/png"):
        assert read(accept).headers["Content-Type"].startswith("text/event-stream")


def test_text_has_progress_only_if_requested(client: httpx.Client) -> None:
    run = new_run(client)
    client.post(f"/runs/{run}/progress", json={"current": 1, "total": 2, "message": "half"})
    path = f"{path_of(run)}?types=run_progress,run_completed"
    with client.stream("GET", path, headers={"Accept": "text/plain"}) as response:
        lines = response.iter_lines()
        assert next(lines) == "progress 1 of 2: half"
        client.post(f"/runs/{run}/complete")
        assert next(lines) == f"run {run} completed"
