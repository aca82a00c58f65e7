"""The database's file, taken away or replaced under the service; its names, its rights, its owner."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from athanor import (
    Athanor,
    ConfigurationError,
    DatabaseInUse,
    DatabaseLost,
    DatabaseUnavailable,
    Settings,
)
from athanor.client.delivery.spool import Batch, Registration, Spool
from athanor.config import Limits
from athanor.protocol.entries import LogInput
from athanor.store.sqlite_session import LOG_BYTES

from ..support import postgres
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import Service, new_run

LIMITS = Limits(file_interval=0.05, upkeep_interval=0.1)


def engine(path: Path) -> Athanor:
    return Athanor(Settings(database_url=f"sqlite:///{path}"), LIMITS)


async def a_run(athanor: Athanor) -> None:
    instance = await athanor.create_instance("x")
    await athanor.create_run(instance.id, id="r")
    await athanor.start_run("r")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - files don't notify
            await asyncio.sleep(0.01)


def messages_in(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [text for (text,) in connection.execute("SELECT message FROM logs ORDER BY n")]


def back_up(path: Path) -> Path:
    copy = path.with_name("backup.db")
    with (
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


# the file under a running service


def test_a_file_that_is_away_is_refused_until_it_is_back(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    path = f"/runs/{run}/logs"
    assert client.post(path, json={"message": "before"}).status_code == 201
    away = service.database.with_name("away.db")
    service.database.rename(away)
    for _ in range(2):
        refused = client.post(path, json={"message": "meanwhile"})
        assert refused.status_code == 503
        assert f"{service.database} was removed" in refused.json()["detail"]
    assert client.post("/instances", json={"name": "meanwhile"}).status_code == 503
    assert "was removed; put it back" in str(service.trouble())
    assert client.get("/healthz").status_code == 200
    away.rename(service.database)
    wait_until(lambda: service.trouble() is None, "readiness")
    assert client.post(path, json={"message": "after"}).status_code == 201
    assert [line["message"] for line in client.get(path).json()["logs"]] == ["before", "after"]
    service.terminate()
    assert messages_in(service.database) == ["before", "after"]


def replace(path: Path) -> None:
    shutil.copy(path.with_name("backup.db"), path.with_name("copy.db"))
    path.with_name("copy.db").rename(path)


def cut_off(path: Path) -> None:
    os.truncate(path, 4096)


def remove_log(path: Path) -> None:
    path.with_name("athanor.db-wal").unlink()


def cut_off_log(path: Path) -> None:
    os.truncate(path.with_name("athanor.db-wal"), 0)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


def point_elsewhere(path: Path) -> None:
    """The name that was given is a link, which is given another target."""
    given = path.parent.with_name("given.db")
    given.unlink()
    given.symlink_to(path.with_name("backup.db"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "was removed"),
        (replace, "was replaced by another file"),
        (cut_off, "was cut off"),
        (remove_log, "-wal was removed or replaced"),
        (cut_off_log, "-wal was cut off or overwritten"),
        (move_folder, "was removed"),
        (point_elsewhere, "was replaced by another file"),
    ],
)
async def test_nothing_is_acknowledged_that_would_be_lost(
    tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    path, given = tmp_path / "data" / "athanor.db", tmp_path / "given.db"
    path.parent.mkdir()
    given.symlink_to(path)
    async with engine(given if spoil is point_elsewhere else path) as athanor:
        await a_run(athanor)
        back_up(path)
        with contextlib.closing(sqlite3.connect(path)) as source:
            await athanor.append("r", [LogInput(message="x" * 1000)] * 1000)
            # the file has pages that a smaller one would not have
            source.execute("PRAGMA wal_checkpoint")
            # and the log has entries that the file has not
            await athanor.append("r", [LogInput(message="in the log")])
        await asyncio.sleep(2 * LIMITS.file_interval)
        assert athanor.unready_reason is None
        spoil(path)
        # at the latest after its COMMIT the entry is known to be lost
        appending = asyncio.ensure_future(athanor.append("r", [LogInput(message="lost")]))
        await until(lambda: athanor.unready_reason)
        assert reason in str(athanor.unready_reason)
        done, _ = await asyncio.wait({appending}, timeout=0.3)
        assert not done or isinstance(appending.exception(), DatabaseUnavailable)
        with pytest.raises(DatabaseLost, match=reason):
            await athanor.append("r", [LogInput(message="refused")])
    with contextlib.suppress(Exception):
        await appending


@pytest.mark.anyio
async def test_what_was_committed_into_a_file_that_was_away_for_a_moment_is_stored_once(
    tmp_path: Path,
) -> None:
    """The file goes between the look before a flush and the one after it."""
    path, away = tmp_path / "athanor.db", tmp_path / "away.db"
    # nothing else looks
    rarely = Limits(file_interval=1000, upkeep_interval=1000)
    async with Athanor(Settings(database_url=f"sqlite:///{path}"), rarely) as athanor:
        await a_run(athanor)
        file = athanor.parts.store._driver.file  # type: ignore[union-attr]
        look = file.trouble

        def go(pages: int) -> str | None:
            found = look(pages)
            if found is None and moves:
                moves.pop()
                path.rename(away)
            return found

        moves: list[int] = []
        writer = athanor.parts.store._writer
        await writer.run(lambda session: session._raw.create_function("athanor_trouble", 1, go))  # type: ignore[attr-defined]
        moves.append(1)
        appending = asyncio.ensure_future(athanor.append("r", [LogInput(message="once")]))
        await until(lambda: athanor.unready_reason)
        assert "was removed" in str(athanor.unready_reason)
        away.rename(path)
        assert (await appending).accepted == 1
        await athanor.complete_run("r")
    assert messages_in(path) == ["once"]


def test_a_file_that_replaced_the_old_one_is_not_spoiled_by_its_log(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json={"message": "in the backup"}).raise_for_status()
    backup = back_up(service.database)
    client.post(f"/runs/{run}/logs", json=[{"message": "y" * 5000}] * 200).raise_for_status()
    backup.rename(service.database)
    wait_until(lambda: "was replaced by another file" in str(service.trouble()), "the reason")
    service.terminate()
    assert "belonged to another database" in service.log.read_text()
    assert messages_in(service.database) == ["in the backup"]
    service.start()
    assert service.client().get(f"/runs/{run}/logs").json()["total"] == 1


@pytest.mark.anyio
async def test_a_lock_that_is_removed_is_taken_again(tmp_path: Path) -> None:
    path, lock = tmp_path / "athanor.db", tmp_path / "athanor.db.lock"
    async with engine(path) as athanor:
        lock.unlink()
        await until(lock.exists)
        await a_run(athanor)
        assert athanor.unready_reason is None
        with pytest.raises(DatabaseInUse):
            await engine(path).start()


@pytest.mark.anyio
async def test_a_log_that_a_reader_held_is_given_back(tmp_path: Path) -> None:
    path, log = tmp_path / "athanor.db", tmp_path / "athanor.db-wal"
    async with engine(path) as athanor:
        await a_run(athanor)
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM events").fetchone()
            for _ in range(6):
                await athanor.append("r", [LogInput(message="x" * 100_000)] * 70)
            assert log.stat().st_size > 2 * LOG_BYTES
        # and nothing more is written
        await until(lambda: log.stat().st_size <= LOG_BYTES)
        assert athanor.unready_reason is None
        await athanor.complete_run("r")


# names and rights


@pytest.mark.anyio
async def test_another_name_of_a_file_is_the_same_file(tmp_path: Path) -> None:
    path, link = tmp_path / "data" / "athanor.db", tmp_path / "link.db"
    path.parent.mkdir()
    link.symlink_to(path)
    async with engine(link) as athanor:
        await a_run(athanor)
        assert modes(tmp_path).keys() == {"data", "link.db"}
        with pytest.raises(DatabaseInUse):
            await engine(path).start()
    async with engine(path):
        with pytest.raises(DatabaseInUse):
            await engine(link).start()
    hard = tmp_path / "hard.db"
    hard.hardlink_to(path)
    for name in (hard, path, link):
        with pytest.raises(ConfigurationError, match="has 2 names"):
            await engine(name).start()
    hard.unlink()
    async with engine(path) as athanor:
        assert (await athanor.get_run("r")).status == "running"


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in folder.iterdir()}


PRIVATE = {f"athanor.db{suffix}": 0o600 for suffix in ("", "-shm", "-wal", ".lock")}


@pytest.mark.anyio
async def test_the_files_are_their_owners_only_and_older_ones_become_so(tmp_path: Path) -> None:
    path = tmp_path / "athanor.db"
    before = os.umask(0o022)
    try:
        async with engine(path) as athanor:
            await a_run(athanor)
            assert modes(tmp_path).items() >= PRIVATE.items()
            assert set(modes(tmp_path).values()) == {0o600}
        for name in modes(tmp_path):
            (tmp_path / name).chmod(0o644)
        async with engine(path):
            assert modes(tmp_path).items() >= PRIVATE.items()
            assert set(modes(tmp_path).values()) == {0o600}
    finally:
        os.umask(before)


@pytest.mark.anyio
async def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    (tmp_path / "athanor.db.lock").symlink_to(target)
    with pytest.raises(ConfigurationError, match="is a symbolic link"):
        await engine(tmp_path / "athanor.db").start()
    assert not target.exists()


def spool_in(folder: Path) -> Spool:
    given = Registration(run_id="r", instance="x", producer="p", url="http://127.0.0.1:1")
    return Spool.create(folder, given, Batch(0, b""))


def test_the_spool_is_its_owners_only_and_writes_through_no_link(tmp_path: Path) -> None:
    home, victim = tmp_path / "home", tmp_path / "victim"
    (home / ".athanor").mkdir(parents=True)
    (home / ".athanor" / ".gitignore").symlink_to(victim)
    before = os.umask(0o022)
    try:
        with contextlib.closing(spool_in(home / ".athanor" / "spool")) as spool:
            assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
        assert not victim.exists()
        assert modes(home / ".athanor")["spool"] == 0o700
        (home / ".athanor" / "spool").chmod(0o755)
        spool_in(home / ".athanor" / "spool").close()
        assert modes(home / ".athanor")["spool"] == 0o700
        spool_in(tmp_path / "new" / "deep").close()
        assert modes(tmp_path)["new"] == modes(tmp_path / "new")["deep"] == 0o700
        fresh = tmp_path / "fresh"
        fresh.mkdir()
        spool_in(fresh / ".athanor" / "spool").close()
        assert (fresh / ".athanor" / ".gitignore").read_text() == "*\n"
    finally:
        os.umask(before)
    for planted in (tmp_path / "one" / ".athanor", tmp_path / "two" / ".athanor" / "spool"):
        victim.mkdir(exist_ok=True)
        planted.parent.mkdir(parents=True)
        planted.symlink_to(victim, target_is_directory=True)
        with pytest.raises(OSError, match="symbolic link"):
            spool_in(tmp_path / planted.relative_to(tmp_path).parts[0] / ".athanor" / "spool")
        assert list(victim.iterdir()) == []


# somebody else's


FOREIGN = [
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)",
    "CREATE TABLE events (id INTEGER PRIMARY KEY, title TEXT)",
    "CREATE TABLE meta (key TEXT, value TEXT)",
    "CREATE TABLE runs (id TEXT, seconds REAL)",
]


@pytest.mark.anyio
@pytest.mark.parametrize("journal", ["delete", "wal"])
async def test_a_file_of_another_program_is_not_touched(tmp_path: Path, journal: str) -> None:
    for number, sql in enumerate([*FOREIGN, "; ".join(FOREIGN)]):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "app.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA journal_mode = {journal}")
            connection.executescript(sql)
        path.chmod(0o644)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError, match="this database is not Athanor's"):
            await engine(path).start()
        assert path.read_bytes() == before
        assert modes(folder) == {"app.db": 0o644}


@pytest.fixture
def foreign_database(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("database")
    postgres.run_sql("CREATE TABLE users (id INT)", url.rpartition("/")[2])
    return url


def test_tables_of_another_program_on_postgresql_are_not_touched(
    tmp_path: Path, foreign_database: str
) -> None:
    """Tables of other names may stand beside Athanor's; in a schema of its own all may."""
    name = foreign_database.rpartition("/")[2]
    postgres.run_sql("CREATE TABLE events (id INT, title TEXT)", name)
    service = Service(tmp_path, database_url=foreign_database)
    assert service.spawn().wait(PATIENCE) == 3
    log = service.log.read_text()
    assert "has tables of another program (it has a table events, and none called meta)" in log
    assert "Traceback" not in log
    tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    assert postgres.run_sql(tables, name) == [("events",), ("users",)]
    postgres.run_sql("CREATE SCHEMA athanor", name)
    service.settings["database_url"] = f"{foreign_database}?search_path=athanor"
    with contextlib.closing(service.start()):
        new_run(service.client())
    assert postgres.run_sql("SELECT count(*) FROM athanor.runs", name) == [(1,)]
    assert postgres.run_sql(tables, name) == [("events",), ("users",)]
