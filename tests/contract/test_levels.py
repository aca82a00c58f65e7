"""Levels of log entries: their counts are those of what is stored, whatever happens to it."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from athanor.config import Settings
from athanor.protocol.pages import EntryFilter
from athanor.store.entries import Span, read
from athanor.store.session import Params

from ..support import plain, postgres
from ..support.follower import wait_until
from ..support.old_tables import make_old
from ..support.patience import PATIENCE
from ..support.service import Service, new_run, running

LEVELS = ("debug", "info", "warn", "error")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    if request.param == "postgresql":
        return {"database_url": request.getfixturevalue("database")}
    return {}


@pytest.fixture
def service(database_settings: dict[str, Any], tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, **database_settings) as service:
        yield service


def levels_of(client: httpx.Client, run: str) -> list[str]:
    """The level of each stored line, in order."""
    found: list[str] = []
    path: str | None = f"/runs/{run}/logs?limit=10000"
    while path:
        page = client.get(path).json()
        found += [line["level"] for line in page["logs"]]
        path = page["next"]
    return found


def check(client: httpx.Client, run: str) -> Counter[str]:
    """The counts and the totals of all filters are those of the stored lines; returns them."""
    stored = Counter(levels_of(client, run))
    counts = client.get(f"/runs/{run}").json()["level_counts"]
    assert counts == {level: stored[level] for level in LEVELS}
    for wanted in ("error", "warn,error", "warn,warning", "debug,error", "info,error", ",".join(LEVELS)):
        page = client.get(f"/runs/{run}/logs?level={wanted}&limit=3&before=9999999").json()
        names = {"warning": "warn"}
        levels = {names.get(name, name) for name in wanted.split(",")}
        assert page["total"] == sum(stored[level] for level in levels)
        assert len(page["logs"]) == min(3, page["total"])
        assert {line["level"] for line in page["logs"]} <= levels
    return stored


def log_some(client: httpx.Client, run: str, count: int, chance: random.Random) -> None:
    lines = [{"message": "x", "level": chance.choice([*LEVELS, "warning"])} for _ in range(count)]
    client.post(f"/runs/{run}/logs", json=lines).raise_for_status()


def test_pages_of_a_level_hold_its_lines_in_order(service: Service) -> None:
    client = service.client()
    run, chance = new_run(client), random.Random(3)
    log_some(client, run, 500, chance)
    log_some(client, new_run(client), 50, chance)
    check(client, run)
    levels = levels_of(client, run)
    for wanted in (("error",), ("debug", "error"), ("info",), ("debug", "warn", "error")):
        expected = [seq for seq, level in enumerate(levels, 1) if level in wanted]
        for sides in ("before=501", "after=0", "after=40&before=460", "before=300"):
            path: str | None = f"/runs/{run}/logs?limit=7&level={','.join(wanted)}&{sides}"
            seqs: list[int] = []
            while path:
                page = client.get(path).json()
                found = [line["seq"] for line in page["logs"]]
                seqs = found + seqs if "after" not in sides else seqs + found
                path = page["next"]
            low, high = (40 if "after=40" in sides else 0), (460 if "460" in sides else 501)
            high = 300 if sides == "before=300" else high
            assert seqs == [seq for seq in expected if low < seq < high]


def test_retention_takes_off_what_it_deletes(database_settings: dict[str, Any], tmp_path: Path) -> None:
    with running(tmp_path, **database_settings) as service:
        client = service.client()
        run, small, chance = new_run(client), new_run(client), random.Random(4)
        log_some(client, run, 5000, chance)
        log_some(client, small, 20, chance)
        check(client, run)
        before = check(client, small)
    with running(tmp_path, **database_settings, retention_rows=300) as service:
        client = service.client()
        wait_until(lambda: client.get(f"/runs/{run}/logs").json()["total"] == 300, "retention")
        assert check(client, run).total() == 300
        assert check(client, small) == before
        log_some(client, run, 10, chance)
        assert check(client, run).total() == 310
        # a new run of the same id begins with no entries
        client.post(f"/runs/{run}/complete").raise_for_status()
        instance = client.get(f"/runs/{run}").json()["instance_id"]
        client.delete(f"/runs/{run}").raise_for_status()
        client.post(f"/instances/{instance}/runs", json={"id": run}).raise_for_status()
        assert check(client, run).total() == 0


def test_counts_survive_kill_9(service: Service) -> None:
    client = service.client()
    run, stopping = new_run(client), threading.Event()

    def produce(seed: int) -> None:
        chance = random.Random(seed)
        while not stopping.is_set():
            try:
                with plain.client(base_url=service.url) as own:
                    log_some(own, run, chance.randint(1, 30), chance)
            except httpx.HTTPError:
                stopping.wait(0.01)

    producers = [threading.Thread(target=produce, args=(seed,)) for seed in range(3)]
    for producer in producers:
        producer.start()
    try:
        for kill in range(1, 4):
            wait_until(lambda: client.get(f"/runs/{run}").json()["log_count"] > 150 * kill, "lines")  # noqa: B023
            service.kill()
            service.start()
    finally:
        stopping.set()
        for producer in producers:
            producer.join(PATIENCE)
    assert check(service.client(), run).total() > 450


def test_an_upgrade_counts_what_is_stored(database_settings: dict[str, Any], tmp_path: Path) -> None:
    with running(tmp_path, **database_settings) as service:
        client = service.client()
        run, empty, chance = new_run(client), new_run(client), random.Random(5)
        log_some(client, run, 700, chance)
        client.post(f"/runs/{run}/results", json=[{"key": "error", "value": 1}] * 5).raise_for_status()
        before = check(client, run)
        url = service.environment()["ATHANOR_DATABASE_URL"]
    make_old(Settings(database_url=url), 2)
    with running(tmp_path, **database_settings) as service:
        client = service.client()
        assert check(client, run) == before
        assert check(client, empty).total() == 0
        log_some(client, run, 10, chance)
        assert check(client, run).total() == 710


class Recorder:
    """Takes the place of a session, and keeps the statement."""

    async def entries(self, sql: str, params: Params) -> list[tuple[int, bytes]]:
        self.sql, self.params = sql, params
        return []


def test_a_page_of_rare_levels_reads_an_index_of_them_only(service: Service) -> None:
    """On new tables, of which a planner knows nothing."""
    log_some(service.client(), new_run(service.client()), 100, random.Random(6))
    recorder: Any = Recorder()
    wanted = EntryFilter("run_log", before=9, labels=("warn", "error"))
    asyncio.run(read(recorder, "r", wanted, Span(1, 8, 5, 1000)))
    if url := service.settings.get("database_url"):
        values = iter(map(repr, recorder.params))
        sql = "".join(next(values) if part == "?" else part for part in re.split(r"(\?)", recorder.sql))
        plan = postgres.run_sql(f"EXPLAIN {sql}", str(url).rpartition("/")[2])
    else:
        with closing(sqlite3.connect(service.database)) as connection:
            plan = connection.execute(f"EXPLAIN QUERY PLAN {recorder.sql}", recorder.params).fetchall()
    assert str(plan).count("events_by_level") == 2
    assert "events_by_seq" not in str(plan)
