"""The store from inside: keyed reads, a change that can not be written, views for plain SQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from athanor import Athanor, NotFound, Settings
from athanor.changes import Append
from athanor.entries import LogIn
from athanor.ledger import Ledger
from athanor.selection import Selection
from athanor.store import replay
from athanor.store.schema import TABLES

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")


async def running_run(athanor: Athanor, id: str) -> str:
    instance = await athanor.create_instance("x")
    run = await athanor.create_run(instance.id, id=id)
    await athanor.start_run(run.id)
    return run.id


@pytest.mark.parametrize(
    "topics",
    [
        ["experiments:run:a"],
        ["experiments:instance:a"],
        ["experiments:runs"],
        ["experiments:instances"],
        ["experiments:runs", "experiments:run:a", "experiments:run:b", "experiments:instance:c"],
    ],
)
async def test_pages_are_read_by_index_only(topics: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    sql = replay.page_sql(Selection.make(topics))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["x"] * sql.count("?")).fetchall()
    steps = [step for *_, step in plan if "events" in step]
    assert steps
    assert all(step.startswith("SEARCH events USING") for step in steps), steps
    connection.close()


async def test_change_that_can_not_be_written_is_refused_alone(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = Ledger.append

    def break_on_poison(self: Ledger, run: Any, lines: Any) -> int:
        if b"poison" in lines[0].tail:
            raise ZeroDivisionError("a mistake of ours")
        return apply(self, run, lines)

    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        monkeypatch.setattr(Ledger, "append", break_on_poison)
        waiting = [
            athanor.flusher.submit(Append(run_id=run, lines=athanor._lines([LogIn(message=text)])[0]))
            for text in ("one", "poison", "two")
        ]
        assert (await waiting[0]).accepted == 1
        with pytest.raises(ZeroDivisionError):
            await waiting[1]
        assert (await waiting[2]).accepted == 1
        assert (await athanor.complete_run(run)).log_count == 2
        assert athanor.trouble is None


async def test_lines_of_a_flush_stand_together_by_run(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        runs = [await running_run(athanor, id) for id in "abc"]
        receipts = [
            athanor.flusher.submit(Append(run_id=run, lines=athanor._lines([LogIn(message="x")])[0]))
            for _ in range(5)
            for run in runs
        ]
        for receipt in receipts:
            await receipt
    connection = sqlite3.connect(settings.sqlite_path)
    order = [run for (run,) in connection.execute("SELECT run_id FROM logs ORDER BY n")]
    assert order == ["a"] * 5 + ["b"] * 5 + ["c"] * 5
    connection.close()


async def test_views_answer_plain_sql(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        await athanor.log(run, "so it is", level="error", metadata={"at": [1]})
        await athanor.result(run, "loss", 0.5, step=3)
        await athanor.complete_run(run)
    connection = sqlite3.connect(settings.sqlite_path)
    log = connection.execute("SELECT run_id, seq, level, message, metadata FROM logs").fetchall()
    assert log == [("r", 1, "error", "so it is", '{"at":[1]}')]
    assert connection.execute("SELECT seq, key, value, step FROM results").fetchall() == [
        (1, "loss", 0.5, 3)
    ]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_numbers_are_never_used_again(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        await running_run(athanor, "r")
        await athanor.complete_run("r")
        newest = athanor.hub.newest
        instance = (await athanor.get_run("r")).instance_id
        await athanor.delete_instance(instance)
        await athanor.keeper.delete_what_may_go()
        assert athanor.hub.newest == newest + 1
    async with Athanor(settings) as athanor:
        assert athanor.hub.newest == newest + 1
        with pytest.raises(NotFound):
            await athanor.get_run("r")
