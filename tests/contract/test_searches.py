"""Searches in a run's log: they read for a bounded time, end when nobody waits, and slow nothing down."""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor import Athanor, Settings
from athanor.config import Limits
from athanor.protocol.pages import EntryFilter
from athanor.protocol.records import LogEntry
from athanor.store import search

from ..support import postgres
from ..support.follower import wait_until
from ..support.service import Service, new_run, running
from ..support.stopwatch import Stopwatch

CLIENTS = 60
AT_ONCE = 1 + Limits().waiting_searches
LINES = 400
NEWEST = 2**53 - 1

SLOW_ON_SQLITE = """
ALTER TABLE events RENAME TO stored;
CREATE VIEW events AS SELECT n, type, instance_id, run_id, seq, label, size,
    CASE WHEN data LIKE '%needle%' THEN data || substr((
        WITH RECURSIVE steps(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM steps WHERE x < 20000 + n * 0)
        SELECT count(*) FROM steps
    ), 1, 0) ELSE data END AS data FROM stored;
"""
FAST_ON_SQLITE = "DROP VIEW events; ALTER TABLE stored RENAME TO events;"
SLOW_ON_POSTGRESQL = """
CREATE FUNCTION slow(data TEXT) RETURNS TEXT LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN PERFORM pg_sleep(0.005); RETURN data; END $$;
ALTER TABLE events RENAME TO stored;
CREATE VIEW events AS SELECT n, type, instance_id, run_id, seq, label, size,
    CASE WHEN data LIKE '%needle%' THEN slow(data) ELSE data END AS data FROM stored;
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def service(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Service]:
    settings = {}
    if request.param == "postgresql":
        settings["database_url"] = request.getfixturevalue("database")
    with running(tmp_path, **settings) as service:
        yield service


@contextlib.contextmanager
def slow(service: Service) -> Iterator[None]:
    """Meanwhile, a search takes milliseconds for each line with `needle`."""
    if url := service.settings.get("database_url"):
        postgres.run_script(SLOW_ON_POSTGRESQL, str(url).rpartition("/")[2])
        yield
        return
    with contextlib.closing(sqlite3.connect(service.database)) as connection:
        connection.executescript(SLOW_ON_SQLITE)
        yield
        connection.executescript(FAST_ON_SQLITE)


def ask(service: Service, path: str) -> socket.socket:
    """A connection on which a request was sent."""
    connection = socket.create_connection((service.host, service.port), 30)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {service.host}\r\n\r\n".encode())
    return connection


class Searching:
    """Clients that have asked, and what each was answered so far."""

    def __init__(self, service: Service, path: str) -> None:
        self._answers = {ask(service, path): b"" for _ in range(CLIENTS)}

    def refused(self) -> list[bytes]:
        """The complete refusals that are there by now."""
        for connection in self._answers:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._answers[connection] += connection.recv(4096)
        answers = self._answers.values()
        return [text for text in answers if text.startswith(b"HTTP/1.1 503") and text.endswith(b"}")]

    def close(self) -> None:
        for connection in self._answers:
            connection.close()


def test_abandoned_searches_end_and_slow_no_other_read(service: Service) -> None:
    client = service.client()
    run, other = new_run(client), new_run(client)
    client.post(f"/runs/{run}/logs", json=[{"message": "a needle"}] * LINES).raise_for_status()
    client.post(f"/runs/{other}/logs", json={"message": "hay"}).raise_for_status()
    path = f"/runs/{run}/logs?q=needle&before={NEWEST}"
    with slow(service), contextlib.ExitStack() as clients:
        page = client.get(path).json()
        seqs = [line["seq"] for line in page["logs"]]
        assert seqs == list(range(LINES + 1 - len(seqs), LINES + 1))
        assert 0 < len(seqs) < LINES
        assert page["total"] is None
        assert page["next"].endswith(f"before={seqs[0]}")

        searching = clients.enter_context(contextlib.closing(Searching(service, path)))
        wait_until(searching.refused, "503")
        refused = searching.refused()
        assert len(refused) <= CLIENTS - AT_ONCE
        assert all(b"retry-after: " in text and b"searches are under way" in text for text in refused)
        watch = Stopwatch(service.pid)
        for path in ("/runs", f"/runs/{run}", f"/runs/{other}", "/instances", "/readyz"):
            assert client.get(path).status_code == 200
        assert watch.elapsed() < 3
        clients.close()
        # those that wait would take 200 ms each if they went on
        watch = Stopwatch(service.pid)
        wait_until(lambda: client.get(f"/runs/{other}/logs?q=HAY").status_code == 200, "its turn")
        assert watch.elapsed() < AT_ONCE * Limits().search_time / 2
        assert client.get(f"/runs/{other}/logs?q=HAY").json()["total"] == 1


def test_many_searches_are_served_beside_other_reads(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    for _ in range(10):
        lines = b"\n".join(b"line %d of a long run" % number for number in range(10_000))
        client.post(f"/runs/{run}/logs", content=lines, headers={"Content-Type": "text/plain"})
    found: list[int] = []

    def search_all() -> None:
        with service.client() as own:
            found.append(len(list(all_pages(own, run, q="LINE 77 ", before=NEWEST))))

    threads = [threading.Thread(target=search_all) for _ in range(20)]
    for thread in threads:
        thread.start()
    slowest = 0.0
    while any(thread.is_alive() for thread in threads):
        watch = Stopwatch(service.pid)
        client.get(f"/runs/{run}/logs?before={NEWEST}&limit=100").raise_for_status()
        client.get("/runs").raise_for_status()
        slowest = max(slowest, watch.elapsed())
    assert found == [10] * 20
    assert slowest < 3


def test_a_search_is_for_a_short_text(client: httpx.Client) -> None:
    run = new_run(client)
    longest = "é" * 256
    client.post(f"/runs/{run}/logs", json={"message": f"<{longest}>"}).raise_for_status()
    assert client.get(f"/runs/{run}/logs", params={"q": longest}).json()["total"] == 1
    refused = client.get(f"/runs/{run}/logs", params={"q": f"{longest}>"})
    assert refused.status_code == 400
    assert "q has 257 characters; it may have 256 at most" in refused.json()["detail"]


def test_a_search_counts_what_it_has_read_completely(client: httpx.Client) -> None:
    run = new_run(client)
    lines = [{"message": f'{n} of\t"10"', "metadata": {"stream": "stderr"}} for n in range(1, 11)]
    client.post(f"/runs/{run}/logs", json=lines).raise_for_status()

    def page(**query: str | int) -> tuple[list[int], int | None, bool]:
        params: dict[str, str | int] = {"q": 'OF\t"1', **query}
        found = client.get(f"/runs/{run}/logs", params=params).json()
        return [line["seq"] for line in found["logs"]], found["total"], found["next"] is not None

    assert page() == (list(range(1, 11)), 10, False)
    assert page(limit=10) == (list(range(1, 11)), 10, False)
    assert page(limit=3) == ([1, 2, 3], None, True)
    assert page(after=4, limit=3) == ([5, 6, 7], None, True)
    assert page(before=4) == ([1, 2, 3], 3, False)
    assert page(before=4, limit=2) == ([2, 3], None, True)
    assert page(after=4, before=8) == ([5, 6, 7], 3, False)
    assert page(q="missing") == ([], 0, False)
    assert page(q="", stream="stderr", after=8) == ([9, 10], 2, False)
    # in text formats an unknown total is no header
    path, accept = f"/runs/{run}/logs?q=of&limit=3", {"Accept": "text/csv"}
    partial, whole = client.get(path, headers=accept), client.get(f"{path}0", headers=accept)
    assert "Athanor-Total" not in partial.headers
    assert 'after=3>; rel="next"' in partial.headers["Link"]
    assert whole.headers["Athanor-Total"] == "10"


def test_a_search_finds_what_one_sees(client: httpx.Client) -> None:
    run = new_run(client)
    title = "\x1b]0;a title\x07"
    lines: list[dict[str, Any]] = [
        {"message": "\x1b[31mCUDA\x1b[0m out of memory"},
        {"message": f"o{title}ut of \x1b[1m\x1b[38;5;4mmem\x1b7ory"},
        {"message": "\\u001b[31m is how JSON has it"},
        {"message": "x", "metadata": {"file": "C:\\data", "say": 'a "word"', "é": "\0", "n": None}},
        {"message": "\0 and \u202e and É"},
    ]
    client.post(f"/runs/{run}/logs", json=lines).raise_for_status()
    # as `json.dumps` and PHP have it
    body = rb'{"message": "y", "metadata": {"path": "\/tmp\/\u00e9", "\u0061b": "\ud83d\ude00"}}'
    client.post(f"/runs/{run}/logs", content=body).raise_for_status()

    def found(text: str, **more: str) -> list[int]:
        params = {"q": text, **more}
        return [line["seq"] for line in client.get(f"/runs/{run}/logs", params=params).json()["logs"]]

    assert found("cuda OUT of memory") == [1]
    assert found("out of mem") == [1, 2]
    assert found("ory") == [1, 2]
    assert found("memory") == [1, 2]
    assert found("a title") == found("[31mC") == found("\x1b") == []
    assert found("\\u001B[31m") == [3]
    assert found("c:\\data") == found('"c:\\\\data"') == [4]
    assert found('A "word"') == found('"a \\"word\\""') == found('"say":"') == found('"n":null') == [4]
    assert found("\0") == [4, 5]
    assert found("\\u0000") == [4]
    assert found("\u202e") == [5]
    assert found("É") == [5]
    assert found("é") == [4, 6]
    assert found("/TMP/é") == found('"ab":"\U0001f600') == [6]
    # what one does not see: other fields, and the null of those without metadata
    assert found("timestamp") == found("info") == found("null,") == []


def all_pages(client: httpx.Client, run: str, **query: str | int) -> Iterator[dict[str, Any]]:
    """The entries of a search, page by page as they come; backwards each page is reversed."""
    params: dict[str, str | int] = query
    path: str | None = f"/runs/{run}/logs"
    answer = client.get(str(path), params=params)
    while True:
        answer.raise_for_status()
        page = answer.json()
        yield from reversed(page["logs"]) if "after" not in query and "before" in query else page["logs"]
        path = page["next"]
        assert (page["total"] is None) or path is None
        if path is None:
            return
        answer = client.get(path)


PIECES = st.sampled_from(
    [
        *("a", "A", "ab", "é", "É", " ", "%", "_", "!", "/", "\\", '"', "\0", "\n", "\u202e", "\x7f"),
        *(
            "\x1b[31m",
            "\x1b[0m",
            "\x1b]0;ab\x07",
            "\x1b]8;;a\x1b\\",
            "\x1b7",
            "\x1b",
            "\\u001b[1m",
            "\U0001f600",
        ),
    ]
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)
METADATA = st.none() | st.dictionaries(st.sampled_from(["stream", "k", "é/"]), TEXTS, max_size=3)
ENTRIES = st.lists(
    st.fixed_dictionaries(
        {
            "message": TEXTS,
            "level": st.sampled_from(["debug", "info", "warn", "error"]),
            "metadata": METADATA,
        }
    ),
    max_size=12,
)
# static/ansi.js has the same, and hides also what follows a string without an end
SEQUENCE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)|\x1b[ -/]*[0-~]?"
)


def lower(text: str) -> str:
    return re.sub("[A-Z]", lambda letter: letter[0].lower(), text)


def dumped(thing: Any) -> str:
    return json.dumps(thing, ensure_ascii=False, separators=(",", ":"))


def is_match(entry: dict[str, Any], text: str, levels: list[str], stream: str) -> bool:
    """The naive search."""
    metadata = entry["metadata"]
    seen = lower(SEQUENCE.sub("", str(entry["message"])))
    in_metadata = "" if metadata is None else lower(dumped(metadata))
    return (
        (not levels or entry["level"] in levels)
        and (not stream or (metadata or {}).get("stream") == stream)
        and (
            lower(text) in seen
            or (metadata is not None and lower(text) in in_metadata)
            or (metadata is not None and lower(dumped(text)[1:-1]) in in_metadata)
        )
    )


def body_of(entries: list[dict[str, Any]], chance: random.Random) -> bytes:
    """NDJSON, in one of the ways in which programs escape characters."""
    lines = []
    for entry in entries:
        line = json.dumps(entry, ensure_ascii=chance.random() < 0.5)
        lines.append(line.replace("/", "\\/") if chance.random() < 0.3 else line)
    return "\n".join(lines).encode()


@st.composite
def searches(draw: st.DrawFn) -> dict[str, Any]:
    entries = draw(ENTRIES)
    texts = [SEQUENCE.sub("", str(entry["message"])) for entry in entries]
    texts += [dumped(entry["metadata"]) for entry in entries if entry["metadata"]]
    text = draw(TEXTS)
    if any(texts) and draw(st.booleans()):
        whole = draw(st.sampled_from([text for text in texts if text]))
        begin = draw(st.integers(0, len(whole) - 1))
        text = whole[begin : begin + draw(st.integers(1, 8))]
        text = draw(st.sampled_from([text, text.upper() if text.isascii() else text, lower(text)]))
    stream = draw(st.sampled_from(["", "", "ab", "é"]) | TEXTS)
    if not (text or stream):
        stream = "a"
    return {
        "entries": entries,
        "later": draw(ENTRIES),
        "text": text,
        "stream": stream,
        "levels": draw(st.lists(st.sampled_from(["debug", "info", "warn", "error"]), max_size=3)),
        "after": draw(st.none() | st.integers(0, 12)),
        "before": draw(st.none() | st.integers(0, 14) | st.just(NEWEST)),
        "limit": draw(st.integers(1, 4)),
        "chance": random.Random(draw(st.integers(0, 99))),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_search=searches())
def test_a_search_page_by_page_finds_what_a_naive_one_finds(
    client: httpx.Client, given_search: dict[str, Any]
) -> None:
    case = given_search
    run = new_run(client)
    stored: list[dict[str, Any]] = []

    def store(entries: list[dict[str, Any]]) -> None:
        if entries:
            content = body_of(entries, case["chance"])
            headers = {"Content-Type": "application/x-ndjson"}
            client.post(f"/runs/{run}/logs", content=content, headers=headers).raise_for_status()
            stored.extend(entries)

    store(case["entries"])
    query: dict[str, str | int] = {"limit": case["limit"]}
    named = {"q": case["text"], "stream": case["stream"], "level": ",".join(case["levels"])}
    query |= {name: value for name, value in named.items() if value}
    query |= {name: case[name] for name in ("after", "before") if case[name] is not None}
    found: list[int] = []
    size = len(stored)
    pages = all_pages(client, run, **query)
    for entry in pages:
        found.append(entry["seq"])
        # while lines are being appended
        store(case["later"])
        case["later"] = []
    matching = [
        seq
        for seq, entry in enumerate(stored, 1)
        if is_match(entry, case["text"], case["levels"], case["stream"])
        and (case["after"] or 0) < seq < (case["before"] or (NEWEST if case["before"] is None else 0))
    ]
    if "after" not in query and "before" in query:
        # newest first: what was stored after the first page was read does not count
        assert found == [seq for seq in reversed(matching) if seq <= size]
    else:
        # a page that ended with the last line at its time has no next one
        assert found == matching[: len(found)]
        assert [seq for seq in matching if seq <= size] == [seq for seq in found if seq <= size]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("database"))
    return f"sqlite:///{tmp_path / 'athanor.db'}"


@pytest.mark.anyio
async def test_slices_of_any_size_find_the_same(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices of few lines, that end with their last candidate, and that are tried again."""
    chance = random.Random(18)
    limits = Limits(search_time=0)
    async with Athanor(Settings(database_url=database_url), limits) as athanor:
        instance = await athanor.create_instance("x")
        run = (await athanor.create_run(instance.id)).id
        await athanor.start_run(run)
        for number in range(120):
            level = chance.choice(["info", "info", "info", "warn", "error"])
            text = chance.choice(["hay", "nee\x1b[1mdle", "needle", "n"])
            await athanor.log(run, f"{text} {number}", level=level)  # type: ignore[arg-type]
        await athanor.append(run, [])
        whole = await athanor.entries(run, EntryFilter("run_log"), 1000)
        lines = [athanor_line(item) for item in whole.items]
        for _ in range(25):
            monkeypatch.setattr(search, "FIRST_LINES", chance.choice([1, 2, 50, 1000]))
            monkeypatch.setattr(search, "MOST_CANDIDATES", chance.choice([1, 3, 100, 2000]))
            monkeypatch.setattr(search, "CANDIDATE_BYTES", chance.choice([1, 300, 10**6]))
            # a slice that is not there at once is ended, and tried again with fewer lines
            monkeypatch.setattr(search, "SLOW_SLICE", chance.choice([0.0, 0.001, 10]))
            labels = chance.choice([(), ("warn", "error"), ("info", "error"), ("error",)])
            after, before = chance.choice(
                [(None, None), (None, 90), (20, None), (20, 90), (None, NEWEST)]
            )
            wanted = EntryFilter("run_log", after, before, labels, "NEEDLE")
            limit, found = chance.choice([1, 7, 1000]), []
            while True:
                page = await athanor.entries(run, wanted, limit)
                items = [athanor_line(item).seq for item in page.items]
                found += items[::-1] if wanted.is_backwards else items
                if not page.more:
                    break
                last = wanted
                if wanted.is_backwards:
                    wanted = wanted._replace(before=page.first)
                else:
                    wanted = wanted._replace(after=page.last)
                # it goes on
                assert wanted != last
            expected = [
                line.seq
                for line in lines
                if (not labels or line.level in labels)
                and line.message.startswith(("needle", "nee\x1b"))
                and (after or 0) < line.seq < (before or NEWEST)
            ]
            assert found == (expected[::-1] if wanted.is_backwards else expected)


def athanor_line(item: bytes) -> LogEntry:
    return LogEntry(**json.loads(item))
