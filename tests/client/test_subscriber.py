"""Subscribing over HTTP: to the service, killed and cut off, and to servers of other kinds."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx
import pytest

from athanor import AthanorError, ConfigurationError, InvalidQuery, NotFound
from athanor.client.subscriber import MAX_RETRY, RETRY, Subscriber, back_off, subscribe
from athanor.protocol.events import (
    Event,
    Gap,
    InstanceDeleted,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunLog,
    RunLogs,
    RunProgress,
    RunResult,
    RunStarted,
)

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.producer import Producer
from ..support.proxy import proxied
from ..support.service import Service, metric, new_run

KILLS = 6
OLD = 400


@pytest.fixture(params=["for", "async for"])
def how(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Pauses(list[tuple[int | None, int]]):
    """The arguments of each call of `back_off`; its subscribers pause for 5 ms."""

    def __call__(self, retry: int | None, failures: int) -> float:
        self.append((retry, failures))
        return 0.005

    def subscribe(
        self,
        *topics: str,
        url: str,
        after: str | None = None,
        tail: int = 0,
        types: Iterable[str] | None = None,
    ) -> Subscriber:
        """As `athanor.subscribe`."""
        return Subscriber(topics, url, after, tail, types, back_off=self)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


def take(subscriber: Subscriber, how: str, count: int | None = None) -> list[Event]:
    """`count` events, or all until the end; then the loop is left."""
    if how == "for":
        return list(itertools.islice(subscriber, count))
    return asyncio.run(take_async(subscriber, count))


async def take_async(subscriber: Subscriber, count: int | None) -> list[Event]:
    events: list[Event] = []
    async for event in subscriber:
        events.append(event)
        if len(events) == count:
            break
    return events


class Reader(threading.Thread):
    """Follows a subscriber to its end, or to the `count`th event, in a thread."""

    def __init__(self, subscriber: Subscriber, how: str, count: int | None = None) -> None:
        super().__init__(daemon=True)
        self.subscriber = subscriber
        self.how = how
        self.count = count
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            if self.how == "for":
                for event in self.subscriber:
                    if self._takes(event):
                        break
            else:
                asyncio.run(self._run())
        except BaseException as error:
            self.error = error

    async def _run(self) -> None:
        async for event in self.subscriber:
            if self._takes(event):
                break

    def _takes(self, event: Event) -> bool:
        self.events.append(event)
        return len(self.events) == self.count

    def finish(self, timeout: float = PATIENCE) -> list[Event]:
        """Wait for the end; returns the events. Raises what the thread raised."""
        self.join(timeout)
        assert not self.is_alive(), f"it did not end after {len(self.events)} events"
        if self.error is not None:
            raise self.error
        return self.events


class Response(NamedTuple):
    """A response of a server that is not Athanor."""

    status: int
    body: bytes = b""
    type: str = "text/event-stream"
    headers: tuple[tuple[str, str], ...] = ()


class Request(NamedTuple):
    """A request that the server got."""

    path: str
    cursor: str | None
    at: float


class Script:
    """A server that gives `responses` one by one, then 204; it closes each connection."""

    def __init__(self, responses: Iterable[Response]) -> None:
        self.requests: list[Request] = []
        left = itertools.chain(responses, itertools.repeat(Response(204)))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                cursor = handler.headers["Last-Event-ID"]
                self.requests.append(Request(handler.path, cursor, time.monotonic()))
                response = next(left)
                handler.send_response(response.status)
                for name, value in (("Content-Type", response.type), *response.headers):
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(response.body)

            def log_message(handler, *_: Any) -> None:  # noqa: N805
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(PATIENCE)


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    scripts: list[Script] = []

    def make(*responses: Response) -> Script:
        scripts.append(Script(responses))
        return scripts[-1]

    yield make
    for one in scripts:
        one.close()


def topic_of(run: str) -> str:
    return f"experiments:run:{run}"


def log(client: httpx.Client, run: str, *messages: str) -> str:
    """Log messages in one request; returns the cursor after them."""
    body = [{"message": message} for message in messages]
    response = client.post(f"/runs/{run}/logs", json=body).raise_for_status().json()
    return str(response["last_event_id"])


def complete(client: httpx.Client, run: str) -> None:
    client.post(f"/runs/{run}/complete").raise_for_status()


def ended_run(client: httpx.Client) -> str:
    """A run with entries of each kind, in several events."""
    run = new_run(client)
    log(client, run, "a")
    client.post(f"/runs/{run}/results", json={"key": "loss", "value": 0.5}).raise_for_status()
    log(client, run, "b", "c")
    complete(client, run)
    return run


def kinds(events: Iterable[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def messages(events: Iterable[Event]) -> list[str]:
    found = []
    for event in events:
        if isinstance(event, RunLog):
            found.append(event.log.message)
        elif isinstance(event, RunLogs):
            found += [line.message for line in event.logs]
    return found


def seqs(events: Iterable[Event]) -> list[int]:
    """The `seq` of every log entry, in the order of arrival."""
    found = []
    for event in events:
        if isinstance(event, RunLog):
            found.append(event.log.seq)
        elif isinstance(event, RunLogs):
            found += [line.seq for line in event.logs]
    return found


def block(type_: str, id: str = "", **fields: Any) -> bytes:
    """An event in the form of the wire."""
    head = f"id: {id}\n" if id else ""
    return f"{head}event: {type_}\ndata: {json.dumps({'type': type_, **fields})}\n\n".encode()


def progress(current: int) -> bytes:
    return block("run_progress", run_id="r", current=current, total=None, message=None)


def deleted(id: str) -> bytes:
    return block("instance_deleted", id, instance_id="i")


HELLO = b"retry: 10\n: athanor\n\n"
NOW = Response(200, b'{"instances": [], "last_event_id": "abcdef-7"}', "application/json")


# what it returns


def test_a_run_is_followed_to_its_end_with_typed_events(shared_service: Service, how: str) -> None:
    client = shared_service.client()
    run = ended_run(client)
    events = take(subscribe(topic_of(run), url=shared_service.url, after="0"), how)
    assert kinds(events) == [RunCreated, RunStarted, RunLog, RunResult, RunLogs, RunCompleted]
    assert messages(events) == ["a", "b", "c"]
    result, last = events[3], events[-1]
    assert isinstance(result, RunResult)
    assert (result.run_id, result.result.key, result.result.value) == (run, "loss", 0.5)
    assert isinstance(last, RunCompleted)
    assert last.run.status == "completed"
    assert last.run.log_count == 3


def test_events_arrive_as_they_happen(shared_service: Service, how: str) -> None:
    client = shared_service.client()
    run = new_run(client)
    reader = Reader(subscribe(topic_of(run), url=shared_service.url, after="0"), how)
    log(client, run, "a")
    wait_until(lambda: messages(reader.events) == ["a"], "the line")
    client.post(f"/runs/{run}/progress", json={"current": 1, "total": 3}).raise_for_status()
    wait_until(lambda: RunProgress in kinds(reader.events), "the progress")
    progress = reader.events[-1]
    assert isinstance(progress, RunProgress)
    assert (progress.current, progress.total, progress.id) == (1, 3, None)
    complete(client, run)
    assert kinds(reader.finish())[-1] is RunCompleted


def test_without_a_cursor_an_ended_run_is_its_final_event(shared_service: Service, how: str) -> None:
    run = ended_run(shared_service.client())
    subscriber = subscribe(topic_of(run), url=shared_service.url)
    assert kinds(take(subscriber, how)) == [RunCompleted]
    assert take(subscriber, how) == []


def test_an_instance_is_followed_to_its_deletion(shared_service: Service, how: str) -> None:
    client = shared_service.client()
    id = client.post("/instances", json={"name": "i"}).json()["id"]
    client.post(f"/instances/{id}/runs").raise_for_status()
    reader = Reader(subscribe(f"experiments:instance:{id}", url=shared_service.url, tail=10), how)
    wait_until(lambda: kinds(reader.events) == [RunCreated], "the run")
    client.delete(f"/instances/{id}").raise_for_status()
    assert kinds(reader.finish()) == [RunCreated, RunCancelled, InstanceDeleted]


def test_several_topics_are_one_stream(shared_service: Service, how: str) -> None:
    client = shared_service.client()
    runs = [new_run(client), new_run(client)]
    cursors = [log(client, run, run) for run in runs]
    for run in runs:
        complete(client, run)
    topics = [*map(topic_of, runs), "experiments:instances"]
    events = take(subscribe(*topics, url=shared_service.url, tail=4), how, 4)
    assert kinds(events) == [RunLog, RunLog, RunCompleted, RunCompleted]
    assert messages(events) == runs
    assert [event.id for event in events[:2]] == cursors


def test_types_are_selected_and_the_end_is_still_known(
    shared_service: Service, how: str, pauses: Pauses
) -> None:
    run = ended_run(shared_service.client())
    topic, url = topic_of(run), shared_service.url
    logs = take(pauses.subscribe(topic, url=url, after="0", types=["run_logs"]), how)
    assert messages(logs) == ["a", "b", "c"]
    assert not {*kinds(logs)} - {RunLog, RunLogs}
    named = ("run_result", "run_completed")
    assert kinds(take(pauses.subscribe(topic, url=url, after="0", types=named), how)) == [
        RunResult,
        RunCompleted,
    ]
    assert take(pauses.subscribe(topic, url=url, types={"run_progress"}), how) == []
    assert not pauses, "the end is known without another request, which gets 204"


def test_tail_is_the_newest_events(shared_service: Service, how: str) -> None:
    client = shared_service.client()
    run = new_run(client)
    for message in "abcd":
        log(client, run, message)
    reader = Reader(subscribe(topic_of(run), url=shared_service.url, tail=2), how)
    wait_until(lambda: messages(reader.events) == ["c", "d"], "the tail")
    log(client, run, "e")
    complete(client, run)
    assert messages(reader.finish()) == ["c", "d", "e"]
    ended = subscribe(topic_of(run), url=shared_service.url, tail=2)
    assert messages(take(ended, how)) == ["e"]


def test_a_gap_is_reported(shared_service: Service, how: str) -> None:
    run = ended_run(shared_service.client())
    subscriber = subscribe(topic_of(run), url=shared_service.url, after="000000-1")
    gap, *rest = take(subscriber, how)
    assert isinstance(gap, Gap)
    assert (gap.reason, gap.after, gap.id) == ("foreign", "000000-1", None)
    assert messages(rest) == ["a", "b", "c"]


# its cursor


def test_a_cursor_resumes_exactly(shared_service: Service, how: str) -> None:
    topic, url = topic_of(ended_run(shared_service.client())), shared_service.url
    events = take(subscribe(topic, url=url, after="0"), how)
    for position, event in enumerate(events):
        assert event.id is not None
        assert take(subscribe(topic, url=url, after=event.id), how) == events[position + 1 :]


def test_the_cursor_is_after_the_last_event_that_was_returned(shared_service: Service, how: str) -> None:
    """Several events come in one piece; those after a `break` were not returned."""
    topic, url = topic_of(ended_run(shared_service.client())), shared_service.url
    events = take(subscribe(topic, url=url, after="0"), how)
    subscriber = subscribe(topic, url=url, after="0")
    assert subscriber.cursor == "0"
    for event in events:
        assert take(subscriber, how, 1) == [event]
        assert subscriber.cursor == event.id
    assert take(subscriber, how) == []


def test_progress_moves_no_cursor(script: Callable[..., Script], how: str, pauses: Pauses) -> None:
    stream = HELLO + deleted("abcdef-8") + progress(1)
    server = script(NOW, Response(200, HELLO + progress(1)), Response(200, stream))
    subscriber = pauses.subscribe("experiments:instances", url=server.url)
    first, second, third = take(subscriber, how, 3)
    assert [first.id, second.id, third.id] == [None, "abcdef-8", None]
    assert subscriber.cursor == "abcdef-8"
    assert [request.cursor for request in server.requests] == [None, None, "abcdef-7"]


def test_an_id_without_an_event_moves_the_cursor(
    script: Callable[..., Script], how: str, pauses: Pauses
) -> None:
    server = script(
        Response(200, HELLO + b"id: abcdef-8\n\nid: abcdef-9\n"), Response(200, HELLO), Response(204)
    )
    subscriber = pauses.subscribe("experiments:runs", url=server.url, after="0")
    assert take(subscriber, how) == []
    assert [request.cursor for request in server.requests] == ["0", "abcdef-8", "abcdef-8"]


# broken connections


def test_a_service_that_is_killed_repeatedly_sends_every_entry_once(
    service: Service, how: str, pauses: Pauses
) -> None:
    run = new_run(service.client())
    reader = Reader(pauses.subscribe(topic_of(run), url=service.url, after="0"), how)
    producer = Producer(service.url, run, "p")
    producer.start()
    for _ in range(KILLS):
        goal = len(reader.events) + 3
        wait_until(lambda: len(reader.events) >= goal, "some events")  # noqa: B023
        service.kill()
        service.start()
    producer.stopping = True
    producer.join(PATIENCE)
    assert not producer.is_alive()
    assert producer.error is None
    complete(service.client(), run)
    events = reader.finish()
    assert seqs(events) == list(range(1, producer.sent + 1))
    assert messages(events) == [f"p {number}" for number in range(producer.sent)]
    assert kinds(events)[-1] is RunCompleted
    assert len(pauses) >= KILLS


@pytest.mark.parametrize("clean", [True, False], ids=["ended cleanly", "broke"])
@pytest.mark.parametrize("has_progress", [False, True], ids=["no event", "progress"])
def test_cut_off_before_its_first_event_it_misses_nothing(
    service: Service, how: str, pauses: Pauses, clean: bool, has_progress: bool
) -> None:
    client = service.client()
    run = new_run(client)
    log(client, run, "before")
    if has_progress:
        client.post(f"/runs/{run}/progress", json={"current": 1}).raise_for_status()
    with proxied(service) as proxy:
        reader = Reader(pauses.subscribe(topic_of(run), url=proxy.url), how)
        wait_until(lambda: metric(service, "athanor_subscribers") == 1, "the subscriber")
        wait_until(lambda: len(reader.events) == has_progress, "its progress")
        proxy.refusing = True
        if clean:
            service.terminate()
            service.start()
            client = service.client()
        else:
            proxy.cut()
        log(client, run, "meanwhile")
        tried = len(pauses)
        wait_until(lambda: len(pauses) > tried + 1, "its attempts")
        proxy.refusing = False
        wait_until(lambda: messages(reader.events) == ["meanwhile"], "the line")
        complete(client, run)
        assert messages(reader.finish()) == ["meanwhile"]


def test_a_final_event_that_is_cut_anywhere_arrives(
    shared_service: Service, how: str, pauses: Pauses
) -> None:
    """It reconnects with the cursor of its first connection, after which there is nothing."""
    run = ended_run(shared_service.client())
    for limit in range(1, 1800, 60):
        with proxied(shared_service, [limit]) as proxy:
            assert kinds(take(pauses.subscribe(topic_of(run), url=proxy.url), how)) == [RunCompleted], (
                limit
            )


def test_connections_cut_at_any_byte_bring_every_entry_once(
    service: Service, how: str, pauses: Pauses
) -> None:
    rng = random.Random(how)
    client = service.client()
    run = new_run(client)
    line, result = {"type": "run_log", "message": "x"}, {"type": "run_result", "key": "k", "value": 1}
    client.post(f"/runs/{run}/events", json=[line, result] * OLD).raise_for_status()
    # some connections have to be long enough for a page of entries; in the end for any page, because
    # the producer may be far ahead
    short = [2000, 500, 5000, 2000, 1000, 20_000]
    most = itertools.chain(short * 5, itertools.cycle([*short, 600_000]))
    limits = (rng.randint(1, number) for number in most)
    with proxied(service, limits) as proxy:
        reader = Reader(pauses.subscribe(topic_of(run), url=proxy.url, after="0"), how)
        wait_until(lambda: seqs(reader.events)[-1:] >= [OLD // 2], "half of the old entries")
        producer = Producer(service.url, run, "p")
        producer.start()
        goal = OLD + 40
        wait_until(lambda: seqs(reader.events)[-1:] >= [goal], "new entries")
        producer.stopping = True
        producer.join(PATIENCE)
        assert not producer.is_alive()
        assert producer.error is None
        complete(client, run)
        events = reader.finish()
        assert proxy.connections > 20, proxy.connections
    assert seqs(events) == list(range(1, OLD + producer.sent + 1))
    assert [event.result.seq for event in events if isinstance(event, RunResult)] == [*range(1, OLD + 1)]
    assert kinds(events)[-1] is RunCompleted


def test_a_service_that_is_not_there_yet_is_waited_for(
    service: Service, how: str, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    client = service.client()
    run = new_run(client)
    service.kill()
    reader = Reader(pauses.subscribe(topic_of(run), url=service.url, tail=1), how)
    wait_until(lambda: len(pauses) > 3, "its attempts")
    service.start()
    wait_until(lambda: kinds(reader.events) == [RunStarted], "the newest event")
    complete(service.client(), run)
    assert kinds(reader.finish()) == [RunStarted, RunCompleted]
    records = [record for record in caplog.records if record.name == "athanor"]
    assert [record.levelno for record in records] == [logging.WARNING], "once"
    assert f"{service.url}/events is away" in records[0].getMessage()


def test_leaving_the_loop_closes_the_connection(service: Service) -> None:
    client = service.client()
    topic = topic_of(new_run(client))

    def count() -> float:
        return metric(service, "athanor_subscribers")

    for _ in subscribe(topic, url=service.url, after="0"):
        assert count() == 1
        break
    wait_until(lambda: count() == 0, "the end of a for")

    async def leave() -> None:
        async for _ in subscribe(topic, url=service.url, after="0"):
            assert await asyncio.to_thread(count) == 1
            break
        await asyncio.to_thread(wait_until, lambda: count() == 0, "the end of an async for")

    async def cancel() -> None:
        seen: list[Event] = []

        async def follow() -> None:
            async for event in subscribe(topic, url=service.url, after="0"):
                seen.append(event)

        task = asyncio.create_task(follow())
        await asyncio.to_thread(wait_until, lambda: len(seen) == 2 and count() == 1, "the events")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(wait_until, lambda: count() == 0, "the end of a cancelled task")

    async def leave_at_once() -> None:
        async for _ in subscribe(topic, url=service.url, after="0"):
            break

    asyncio.run(leave())
    asyncio.run(cancel())
    asyncio.run(leave_at_once())
    wait_until(lambda: count() == 0, "the end of an async for that ends with its event loop")


# refusals


def test_an_unknown_run_or_topic_is_not_found(shared_service: Service, how: str) -> None:
    url = shared_service.url
    with pytest.raises(NotFound, match=r"/events answered 404: there is no run nobody$"):
        take(subscribe(topic_of("nobody"), url=url), how)
    with pytest.raises(NotFound, match="there is no topic 'weather'"):
        subscribe("weather", url=url)


def test_invalid_arguments_are_an_invalid_query(shared_service: Service, how: str) -> None:
    url, runs = shared_service.url, "experiments:runs"
    with pytest.raises(InvalidQuery, match=r"/events answered 400: .*tail"):
        take(subscribe(runs, url=url, tail=10_001), how)
    with pytest.raises(InvalidQuery, match="'yesterday' is no cursor"):
        subscribe(runs, url=url, after="yesterday")
    with pytest.raises(InvalidQuery, match="there is no type 'run_lag'"):
        subscribe(runs, url=url, types=["run_lag"])
    with pytest.raises(InvalidQuery, match="name a type"):
        subscribe(runs, url=url, types=[])
    with pytest.raises(InvalidQuery, match="name a topic"):
        subscribe(url=url)


@pytest.mark.parametrize("url", ["localhost:8000", "127.0.0.1", "ftp://here", "http://", "http://a:b:c"])
def test_an_invalid_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(repr(url))):
        subscribe("experiments:runs", url=url)


def test_the_default_address_is_the_environments(
    script: Callable[..., Script], how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = script(Response(204))
    monkeypatch.setenv("ATHANOR_URL", f"{server.url}/athanor/")
    assert (
        take(subscribe("experiments:runs", "experiments:instances", after="0", types=["run_log"]), how)
        == []
    )
    topics = "topic=experiments%3Ainstances&topic=experiments%3Aruns"
    assert [request.path for request in server.requests] == [f"/athanor/events?{topics}&types=run_log"]


PAGE = Response(200, b"<!doctype html><p>Hello", "text/html; charset=utf-8")


@pytest.mark.parametrize("after", [None, "0"])
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (PAGE, "answered 200 with text/html: is an Athanor there"),
        (Response(200, b'{"hello": 1}', "application/json"), "answered 200 with application/json"),
        (Response(200, b"[]", "application/json"), "answered 200 with application/json"),
        (Response(202), "answered 202"),
        (Response(401, b"no", "text/plain"), "answered 401"),
        (Response(403, b'{"detail": "not you"}', "application/problem+json"), "answered 403: not you"),
        (Response(410, b'{"detail"', "application/problem+json"), "answered 410"),
        (Response(418, b'["detail"]', "application/json"), "answered 418"),
    ],
)
def test_a_response_that_is_no_stream_is_an_error_that_names_it(
    script: Callable[..., Script], how: str, response: Response, expected: str, after: str | None
) -> None:
    server = script(response)
    with pytest.raises(AthanorError) as raised:
        take(subscribe("experiments:runs", url=server.url, after=after), how)
    place = "events" if after else "instances"
    assert str(raised.value).startswith(f"{server.url}/{place} {expected}")
    assert type(raised.value) is AthanorError
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "phrase", "kind"),
    [(400, "Bad Request", InvalidQuery), (404, "Not Found", NotFound)],
)
def test_a_refusal_of_another_server_names_its_address(
    script: Callable[..., Script], how: str, status: int, phrase: str, kind: type[AthanorError]
) -> None:
    server = script(Response(status, b"<h1>nginx</h1>", "text/html"))
    with pytest.raises(kind, match=f"^{server.url}/events answered {status}: {phrase}$"):
        take(subscribe("experiments:runs", url=server.url, after="0"), how)


def test_a_redirection_is_followed_and_a_circular_one_is_an_error(
    script: Callable[..., Script], how: str
) -> None:
    there = script(Response(200, HELLO + deleted("abcdef-1")))
    here = script(Response(307, headers=(("Location", f"{there.url}/events"),)))
    topic = "experiments:instance:i"
    assert kinds(take(subscribe(topic, url=here.url, after="0"), how)) == [InstanceDeleted]
    assert there.requests[0].cursor == "0"
    circle = script(*[Response(307, headers=(("Location", "/events"),))] * 30)
    with pytest.raises(AthanorError, match="can't be read: Exceeded maximum allowed redirects"):
        take(subscribe(topic, url=circle.url, after="0"), how)


# later versions


def test_a_later_versions_type_is_skipped_and_its_cursor_counts(
    script: Callable[..., Script], how: str, pauses: Pauses
) -> None:
    new = block("run_paused", "abcdef-9", since="noon") + b"id: abcdef-10\ndata: no JSON\n\n"
    server = script(Response(200, HELLO + new), Response(200, deleted("abcdef-11")))
    events = take(pauses.subscribe("experiments:instance:i", url=server.url, after="0"), how)
    assert kinds(events) == [InstanceDeleted]
    assert [request.cursor for request in server.requests] == ["0", "abcdef-10"]


def test_an_event_that_cannot_be_decoded_is_an_error_and_not_lost(
    script: Callable[..., Script], how: str
) -> None:
    broken = block("run_log", "abcdef-9", run_id="r", log={"seq": 1})
    subscriber = subscribe("experiments:runs", url=script(Response(200, broken)).url, after="abcdef-8")
    with pytest.raises(AthanorError, match=r"sent a run_log that can't be read: .*level"):
        take(subscriber, how)
    assert subscriber.cursor == "abcdef-8"


def test_a_later_versions_fields_are_ignored(script: Callable[..., Script], how: str) -> None:
    stream = block("instance_deleted", "abcdef-9", instance_id="i", reason="age")
    server = script(Response(200, stream))
    events = take(subscribe("experiments:instance:i", url=server.url, after="0"), how)
    assert events == [InstanceDeleted(id="abcdef-9", instance_id="i")]


# pauses


def test_failures_are_counted_until_a_stream_begins(
    script: Callable[..., Script], how: str, pauses: Pauses
) -> None:
    server = script(
        *(Response(500, b"oh", "text/plain"), Response(503), Response(429), PAGE._replace(status=502)),
        NOW,
        *(Response(500), Response(200, b"retry: 40\n\n"), Response(504)),
        Response(200, deleted("abcdef-8")),
    )
    events = take(pauses.subscribe("experiments:instance:i", url=server.url), how)
    assert kinds(events) == [InstanceDeleted]
    assert pauses == [(None, 1), (None, 2), (None, 3), (None, 4), (None, 5), (40, 0), (40, 1)]
    paths = [request.path.partition("?")[0] for request in server.requests]
    assert paths == ["/instances"] * 5 + ["/events"] * 4
    assert [request.cursor for request in server.requests[5:]] == [None, *["abcdef-7"] * 3]


def test_the_servers_retry_is_waited_for(script: Callable[..., Script], how: str) -> None:
    stream = Response(200, b"retry: 150\n\n")
    server = script(stream, stream, Response(200, b"retry: nonsense\n\n"), Response(204))
    assert take(subscribe("experiments:runs", url=server.url, after="0"), how) == []
    arrivals = [request.at for request in server.requests]
    assert all(later - earlier >= 0.15 for earlier, later in itertools.pairwise(arrivals))
    assert len(arrivals) == 4


def test_back_off_respects_retry_grows_and_spreads() -> None:
    for failures, seconds in enumerate([2, 2, 4, 8, MAX_RETRY, MAX_RETRY]):
        waits = [back_off(2000, failures) for _ in range(500)]
        assert seconds <= min(waits) < 1.1 * seconds
        assert 1.4 * seconds < max(waits) <= 1.5 * seconds
    assert RETRY <= back_off(None, 0) <= 1.5 * RETRY
    assert back_off(0, 1000) == 0
    assert 60 <= back_off(60_000, 3) <= 90, "the server may ask for more than the maximum"
    assert back_off(1, 10**6) <= 1.5 * MAX_RETRY


def test_a_refused_stream_is_tried_again_when_it_says(
    script: Callable[..., Script], pauses: Pauses, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Response(200, b"retry: 20000\n" + block("busy", retry=20000), headers=(("Retry-After", "20"),))
    served = Response(200, HELLO + deleted("abcdef-9"))
    server = script(NOW, busy, busy, served)
    with caplog.at_level(logging.WARNING, "athanor"):
        subscriber = pauses.subscribe("experiments:instance:i", url=server.url, tail=5)
        assert kinds(take(subscriber, how)) == [InstanceDeleted]
    assert pauses == [(20_000, 1), (20_000, 2)]
    assert all(20 <= back_off(*pause) <= 30 for pause in pauses)
    # what was refused did not begin, so the newest events are still to come
    assert ["tail=5" in request.path for request in server.requests] == [False, True, True, True]
    assert [record.getMessage() for record in caplog.records] == [
        f"{server.url}/events is away (it has too many streams); waiting for it"
    ]
