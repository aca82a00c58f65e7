"""The store from inside: keyed reads, a command that can not be written, views for plain SQL."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
from functools import partial
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import aiosqlite
import asyncpg
import msgspec
import pytest

from athanor import Athanor, ConfigurationError, NotFound, Settings
from athanor.config import Limits
from athanor.domain.commands import (
    AppendEntries,
    Command,
    CreateInstance,
    CreateRun,
    DeleteInstance,
    Work,
)
from athanor.domain.ledger import Ledger, Receipt
from athanor.exceptions import DatabaseUnavailable
from athanor.protocol.entries import LogInput, Report, ResultInput, encode_reports
from athanor.protocol.pages import EntryFilter
from athanor.protocol.records import now
from athanor.protocol.selection import Selection
from athanor.store import entry_text, replay, upkeep
from athanor.store.session import Session
from athanor.store.sqlite_session import MOST_WAITING, TABLES, SqliteSession, texts_sql
from athanor.store.store import Store
from athanor.store.upgrades import SCHEMA, Schema

from ..support import postgres
from ..support.old_tables import make_old
from ..support.patience import PATIENCE

pytestmark = pytest.mark.anyio

LIMITS = Limits()


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")
    return Settings(database_url=request.getfixturevalue("database"))


async def plain_sql(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement as a person would; returns its rows."""
    if settings.sqlite_path is None:
        name = settings.database_url.rpartition("/")[2]
        return await asyncio.to_thread(postgres.run_sql, sql, name)
    with contextlib.closing(sqlite3.connect(settings.sqlite_path)) as connection:
        rows = connection.execute(sql).fetchall()
        connection.commit()
        return rows


async def running_run(athanor: Athanor, id: str) -> str:
    instance = await athanor.create_instance("x")
    run = await athanor.create_run(instance.id, id=id)
    await athanor.start_run(run.id)
    return run.id


TOPICS = [
    ["experiments:run:a"],
    ["experiments:instance:a"],
    ["experiments:runs"],
    ["experiments:instances"],
    ["experiments:runs", "experiments:run:a", "experiments:run:b", "experiments:instance:c"],
]


@pytest.mark.parametrize("topics", TOPICS)
async def test_pages_are_read_by_index_only(topics: list[str]) -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    sql = texts_sql(replay.page_sql(Selection.make(topics)), 5)
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["x"] * sql.count("?")).fetchall()
    steps = [step for *_, step in plan if "events" in step]
    assert steps
    assert all(step.startswith("SEARCH events USING") for step in steps), steps
    connection.close()


@pytest.mark.parametrize("types", [None, frozenset({"run_log"}), frozenset({"run_log", "run_created"})])
async def test_sqlite_joins_entries_in_the_order_of_their_numbers(types: frozenset[str] | None) -> None:
    """`group_concat` takes them as they are read: by an index that has the row id after the run."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    for sql in entry_text.statements(SqliteSession.dialect.joined, types):
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["x"] * sql.count("?")).fetchall()
        steps = [step for *_, step in plan if "events" in step or "B-TREE" in step]
        assert steps
        for step in steps:
            assert step.startswith("SEARCH events USING"), step
            assert "INDEX events_by_run (run_id=? AND rowid>? AND rowid<?)" in step, step
    connection.close()


@pytest.mark.parametrize("topics", TOPICS)
async def test_pages_are_read_by_index_only_on_postgresql(topics: list[str], database: str) -> None:
    """Where there is much to read, that is: a table of a few rows is read as it is."""
    async with Athanor(Settings(database_url=database)) as athanor:
        run = await running_run(athanor, "a")
        lines = [LogInput(message="x") for _ in range(2000)]
        for _ in range(5):
            await athanor.append(run, lines)
        selection = Selection.make(topics)

        async def plan(session: Session) -> list[str]:
            sql = f"EXPLAIN {replay.page_sql(selection)}"
            params = replay._params(selection, 5000, 10_000, LIMITS.page_rows)
            await session.execute("SET enable_seqscan = off")
            rows = await session.execute(sql, (*params, LIMITS.page_rows, LIMITS.page_bytes))
            return [line.strip() for (line,) in rows]

        steps = await athanor.parts.store.read(plan)
    scans = [number for number, step in enumerate(steps) if " on events" in step]
    assert len(scans) == len(topics) + 1
    for number in scans:
        assert "Index Scan using" in steps[number] or "Index Only Scan using" in steps[number]
        assert steps[number + 1].startswith("Index Cond: ("), steps[number : number + 2]


async def test_rows_keep_every_character(database: str) -> None:
    """COPY has escapes of its own, and a text of PostgreSQL has no NUL."""
    key = "\\t \\. \\N \t \r \0 \x01 \x7f é \u2028 '"
    async with Athanor(Settings(database_url=database)) as athanor:
        run = await running_run(athanor, "a")
        reports: list[Report] = [ResultInput(key=key, value={"text": key}), LogInput(message=f"{key}\n")]
        await athanor.append(run, reports)

        async def stored(session: Session) -> list[Any]:
            return await session.execute("SELECT label, size, data FROM events WHERE seq = 1 ORDER BY n")

        (label, size, data), (_, _, log) = await athanor.parts.store.read(stored)
    assert label == key
    assert size == len(data.encode())
    assert msgspec.json.decode(data)["value"] == {"text": key}
    assert msgspec.json.decode(log)["message"] == f"{key}\n"


class Poison(AppendEntries):
    """A command with a bug."""

    def applying(self, ledger: Ledger) -> Work[Receipt]:
        raise ZeroDivisionError("a bug")


def append(run: str, kind: type[AppendEntries] = AppendEntries) -> AppendEntries:
    entries, _ = encode_reports([LogInput(message="x")], now(), 1000)
    return kind(run_id=run, entries=entries)


async def test_a_command_that_can_not_be_written_is_refused_alone(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        commands = [append(run), append(run, Poison), append(run)]
        waiting = [athanor.parts.flusher.submit(command) for command in commands]
        assert (await waiting[0]).accepted == 1
        with pytest.raises(ZeroDivisionError):
            await waiting[1]
        assert (await waiting[2]).accepted == 1
        assert (await athanor.complete_run(run)).log_count == 2
        assert athanor.unready_reason is None


async def test_the_entries_of_a_flush_stand_together_by_run(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        runs = [await running_run(athanor, id) for id in "abc"]
        submit = athanor.parts.flusher.submit
        for receipt in [submit(append(run)) for _ in range(5) for run in runs]:
            await receipt
    order = [run for (run,) in await plain_sql(settings, "SELECT run_id FROM logs ORDER BY n")]
    assert order == ["a"] * 5 + ["b"] * 5 + ["c"] * 5


async def test_views_answer_plain_sql(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        await athanor.log(run, "so it is", level="error", metadata={"at": [1]})
        await athanor.result(run, "loss", 0.5, step=3)
        await athanor.complete_run(run)
    log = await plain_sql(settings, "SELECT run_id, seq, level, message, metadata FROM logs")
    assert log == [("r", 1, "error", "so it is", '{"at":[1]}')]
    ((seq, key, value, step),) = await plain_sql(settings, "SELECT seq, key, value, step FROM results")
    assert (seq, key, float(value), int(step)) == (1, "loss", 0.5, 3)
    if settings.sqlite_path:
        assert await plain_sql(settings, "PRAGMA journal_mode") == [("wal",)]


async def test_any_text_comes_back_as_it_went(settings: Settings) -> None:
    texts = [
        "\0",
        "a\0\0b",
        "\x01",
        "\x01\x02\0",
        "\\u0000",
        "\\\0",
        "é\u2028\U0001f600",
        "?",
        "%s $1 :a",
    ]
    async with Athanor(settings) as athanor:
        for text in texts:
            instance = await athanor.create_instance(text, description=text)
            run = await athanor.create_run(instance.id, metadata={text: text})
            await athanor.start_run(run.id)
            await athanor.append(run.id, [LogInput(message=text)], key="k")
            await athanor.result(run.id, text, {text: text})
            await athanor.fail_run(run.id, text)
            found = await athanor.get_instance(instance.id)
            assert (found.name, found.description) == (text, text)
            ended = await athanor.get_run(run.id)
            assert (ended.error, ended.metadata) == (text, {text: text})
            for type_ in ("run_log", "run_result"):
                page = await athanor.entries(run.id, EntryFilter(type_, text=""), 10)
                (entry,) = map(msgspec.json.decode, page.items)
                assert entry.get("message", entry.get("key")) == text
            page = await athanor.entries(run.id, EntryFilter("run_result", labels=(text,)), 10)
            assert len(page.items) == 1


async def test_search_is_for_any_text_in_any_case_of_ascii(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        messages = ["Loss: 0.5", "loss\0less", "ÄRGER", "100% _done_", "back\\slash ?"]
        await athanor.append(run, [LogInput(message=text) for text in messages])

        async def found(text: str) -> list[int]:
            page = await athanor.entries(run, EntryFilter("run_log", text=text), 10)
            return [msgspec.json.decode(item)["seq"] for item in page.items]

        assert await found("LOSS") == [1, 2]
        assert await found("less") == [2]
        assert await found("Ärger") == [3]
        assert await found("% _") == [4]
        assert await found("ärger") == []
        assert await found("K\\S") == [5]
        assert await found("?") == [5]


def test_aiosqlite_has_the_undocumented_parts_that_a_session_uses() -> None:
    for name in ("_execute", "_conn"):
        assert hasattr(aiosqlite.Connection, name), f"aiosqlite {version('aiosqlite')} has no {name}"
    parameters = signature(aiosqlite.Connection._execute).parameters
    assert list(parameters) == ["self", "fn", "args", "kwargs"]


async def test_writes_are_seen_by_the_next_read_and_by_nothing_after_an_error(settings: Settings) -> None:
    async def write(session: Session, key: str, count: int, error: bool = False) -> list[Any]:
        async with session.writing():
            for number in range(count):
                await session.write("INSERT INTO meta VALUES (?, ?)", (f"{key}-{number}", "x"))
            if error:
                await session.write("INSERT INTO meta SELECT key, value FROM meta")
            return await session.execute(_KEYS, (f"{key}-%",))

    async def keys(session: Session) -> list[Any]:
        return await session.execute(_KEYS, ("%-%",))

    async with Athanor(settings) as athanor:
        store = athanor.parts.store
        assert len(await store.write(lambda session: write(session, "a", 3))) == 3
        # the key is there already; on SQLite that turns out later
        with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
            await store.write(lambda session: write(session, "b", 2, error=True))
        # more than may wait for one hop
        assert len(await store.write(lambda session: write(session, "c", MOST_WAITING))) == MOST_WAITING
        found = await store.read(keys)
        assert {key.partition("-")[0] for (key,) in found} == {"a", "c"}
        assert len(found) == 3 + MOST_WAITING


_KEYS = "SELECT key FROM meta WHERE key LIKE ?"


async def test_a_commit_without_an_answer_is_not_committed_again(database: str) -> None:
    """The connection is lost after COMMIT: the next attempt finds out that it was committed."""
    store = Store(Settings(database_url=database))
    await store.open()
    try:
        commands: list[Command] = [CreateInstance(instance_id="i", fields={"name": "x"})]
        first = await store.commit(commands, [])
        assert store._flush.commit is first
        # as if the answer had been an error
        store._flush.commands = commands
        again = await store.commit(list(commands), [])
        assert again is first
        assert await store.newest_number() == first.newest == 1
        refused = await store.commit([CreateInstance(instance_id="i", fields={"name": "x"})], [])
        assert refused.decisions[0][0] is False
    finally:
        await store.close()


async def test_nodes_that_start_together_upgrade_once_and_an_older_one_stops_writing(
    settings: Settings,
) -> None:
    """Upgrade as a later version would, with one more column."""
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        await athanor.log(run, "of version 1")
    older = Store(settings) if settings.sqlite_path is None else None
    if older:
        await older.open()
    newer_schema = Schema(
        SCHEMA.version + 1, {SCHEMA.version: ("ALTER TABLE runs ADD COLUMN colour TEXT;\n",)}
    )
    newer = [Store(settings, schema=newer_schema) for _ in range(4 if older else 1)]
    await asyncio.gather(*(store.open() for store in newer))
    await newer[0].commit([CreateInstance(instance_id="i", fields={"name": "x"})], [])
    for store in newer:
        await store.close()
    assert await plain_sql(settings, "SELECT colour FROM runs") == [(None,)]
    newest = str(newer_schema.version)
    assert await plain_sql(settings, "SELECT value FROM meta WHERE key = 'version'") == [(newest,)]
    assert await plain_sql(settings, "SELECT message FROM logs") == [("of version 1",)]
    if older:
        with pytest.raises(DatabaseUnavailable, match=f"upgraded to version {newest}"):
            await older.commit([CreateInstance(instance_id="j", fields={"name": "x"})], [])
        await older.close()
    with pytest.raises(ConfigurationError, match=f"made by a newer Athanor: it is of version {newest}"):
        await Store(settings).open()


async def test_a_database_of_version_1_is_upgraded_and_keeps_its_runs(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        run = await running_run(athanor, "r")
        await athanor.log(run, "of version 1")
    await asyncio.to_thread(make_old, settings, 1)
    async with Athanor(settings) as athanor:
        assert (await athanor.update_run("r", name="renamed")).metadata == {"name": "renamed"}
    version = "SELECT value FROM meta WHERE key = 'version'"
    assert await plain_sql(settings, version) == [(str(SCHEMA.version),)]
    assert await plain_sql(settings, "SELECT message FROM logs") == [("of version 1",)]


async def test_an_upgrade_that_fails_leaves_the_database_as_it_was(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        await running_run(athanor, "r")
    statements = "ALTER TABLE runs ADD COLUMN colour TEXT;\nNONSENSE;\n"
    broken = Schema(SCHEMA.version + 1, {SCHEMA.version: (statements,)})
    with pytest.raises(ConfigurationError, match="NONSENSE"):
        await Store(settings, schema=broken).open()
    async with Athanor(settings) as athanor:
        assert (await athanor.get_run("r")).status == "running"
    columns = "SELECT * FROM runs"
    assert len((await plain_sql(settings, columns))[0]) == 18


async def test_the_rest_of_a_deleted_run_is_not_looked_for_in_a_new_run_of_its_id(
    database: str,
) -> None:
    """One process creates the run again, while another one is about to delete what is left."""
    settings = Settings(database_url=database)
    one, other = Store(settings), Store(settings)
    blocker = await asyncpg.connect(database)
    for store in (one, other):
        await store.open()
    try:
        creation: list[Command] = [
            CreateInstance(instance_id="i", fields={"name": "x"}),
            CreateRun(run_id="r", instance_id="i"),
        ]
        await one.commit(creation, [])
        await one.commit([DeleteInstance(instance_id="i")], [])
        # the next flush has taken its lock when it waits for this row
        async with blocker.transaction():
            await blocker.execute("SELECT FROM purges WHERE run_id = 'r' FOR UPDATE")
            creating = asyncio.ensure_future(one.commit(list(creation), []))
            await until_waiting(settings, 1)
            purging = asyncio.ensure_future(other.write(partial(upkeep.purge_step, rows=2000)))
            await until_waiting(settings, 2)
        await asyncio.gather(creating, purging)
        assert await plain_sql(settings, "SELECT type FROM events WHERE run_id = 'r'") == [
            ("run_created",)
        ]
    finally:
        await blocker.close()
        for store in (one, other):
            await store.close()


async def until_waiting(settings: Settings, connections: int) -> None:
    """Wait until so many connections of the database wait for a lock."""
    name = settings.database_url.rpartition("/")[2]
    waiting = (
        f"SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = '{name}'"
    )
    async with asyncio.timeout(PATIENCE):
        while await plain_sql(settings, waiting) != [(connections,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_host_that_does_not_answer_is_skipped(database: str) -> None:
    # the first host accepts connections, and sends nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = database.rpartition("@")[2]
        hosts = f"127.0.0.1:{silent.getsockname()[1]},127.0.0.1:1,{host}"
        url = f"{database.replace(host, hosts)}?target_session_attrs=read-write"
        store = Store(Settings(database_url=url, readers=1), Limits(connect_timeout=0.5))
        await store.open()
        assert await store.newest_number() == 0
        await store.close()


async def test_numbers_are_never_used_again(settings: Settings) -> None:
    async with Athanor(settings) as athanor:
        await running_run(athanor, "r")
        await athanor.complete_run("r")
        newest = athanor.parts.hub.newest
        instance = (await athanor.get_run("r")).instance_id
        await athanor.delete_instance(instance)
        await athanor.parts.maintenance.delete_expired()
        assert athanor.parts.hub.newest == newest + 1
    async with Athanor(settings) as athanor:
        assert athanor.parts.hub.newest == newest + 1
        with pytest.raises(NotFound):
            await athanor.get_run("r")
