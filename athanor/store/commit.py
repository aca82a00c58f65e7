"""One flush, one transaction: load what the changes are about, decide, write, commit."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import msgspec

from ..changes import Change, Decision, DeleteInstance, decide
from ..events import StoredEvent
from ..ledger import Ledger, Receipt
from ..records import Run, now
from .rows import INSTANCE_COLUMNS, RUN_COLUMNS, instance_of, row_of, run_of
from .workers import Params, Session

NEWEST = "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"

# `executemany` steps row by row, and gives up and takes back the interpreter's lock each time: 250,000
# rows/s alone, 300 beside a busy event loop. One statement for many rows: 440,000 and 80,000.
_CHUNKS = (1000, 100, 10, 1)
_INSERT = "INSERT INTO events (n, type, instance_id, run_id, seq, label, size, data) VALUES "


@dataclass(slots=True)
class Commit:
    """What a flush did: a decision for each change, the events in order, the runs as they are now."""

    decisions: list[Decision]
    events: list[StoredEvent]
    runs: list[Run]
    newest: int


async def commit(session: Session, changes: list[Change]) -> Commit:
    """Make `changes` durable; on any error the database is as it was, and the error raised."""
    await session.execute("BEGIN IMMEDIATE")
    try:
        ledger = Ledger(await session.value(NEWEST), now())
        await _load(session, ledger, changes)
        decisions = decide(ledger, changes)
        await _write(session, ledger)
        await session.execute("COMMIT")
    except BaseException:
        await _rollback(session)
        raise
    runs = [run for run in map(ledger.runs.get, ledger.touched_runs) if run is not None]
    return Commit(decisions, ledger.events, runs, ledger.newest)


async def _rollback(session: Session) -> None:
    # SQLite may have rolled back by itself; the first error is the one to tell
    with contextlib.suppress(Exception):
        await session.execute("ROLLBACK")


async def _load(session: Session, ledger: Ledger, changes: list[Change]) -> None:
    run_ids = {change.run_id for change in changes if change.run_id is not None}
    if run_ids:
        ledger.runs.update(dict.fromkeys(run_ids))
        where = "FROM runs WHERE id IN (SELECT value FROM json_each(?))"
        await _load_runs(session, ledger, where, _json(run_ids))
    instance_ids = {change.instance_id for change in changes if change.instance_id is not None}
    if instance_ids:
        ledger.instances.update(dict.fromkeys(instance_ids))
        where = "FROM instances WHERE id IN (SELECT value FROM json_each(?))"
        for row in await session.fetch(INSTANCE_COLUMNS, where, (_json(instance_ids),)):
            instance = instance_of(row)
            ledger.instances[instance.id] = instance
    if isinstance(changes[0], DeleteInstance):
        where = "FROM runs WHERE instance_id = ? AND status IN ('pending', 'running')"
        await _load_runs(session, ledger, where, changes[0].instance_id)
    keys = [(change.run_id, change.key) for change in changes if change.key is not None]
    if keys:
        columns = ("run_id", "key", "accepted", "last_n", "cancel_requested")
        rest = (
            "FROM receipts WHERE (run_id, key) IN "
            "(SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))"
        )
        for run_id, key, accepted, last_n, asked in await session.fetch(columns, rest, (_json(keys),)):
            ledger.receipts[run_id, key] = Receipt(accepted, last_n, bool(asked))


async def _load_runs(session: Session, ledger: Ledger, where: str, param: Any) -> None:
    for row in await session.fetch(RUN_COLUMNS, where, (param,)):
        run = run_of(row)
        ledger.runs[run.id] = run


async def _write(session: Session, ledger: Ledger) -> None:
    for id in ledger.touched_instances:
        instance = ledger.instances[id]
        assert instance is not None
        row = (*row_of(instance, INSTANCE_COLUMNS), ledger.created.get(f"instance:{id}", 0))
        await session.execute(_UPSERT_INSTANCE, row)
    run_rows: list[Params] = []
    for id in ledger.touched_runs:
        run = ledger.runs[id]
        assert run is not None
        created_n = ledger.created.get(f"run:{id}", 0)
        if created_n:
            await _finish_purge(session, id)
        run_rows.append((*row_of(run, RUN_COLUMNS), created_n, ledger.ended.get(id)))
    if run_rows:
        await session.execute_many(_UPSERT_RUN, run_rows)
    await _insert(session, ledger.events)
    if ledger.new_receipts:
        await session.execute_many(
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*key, receipt.accepted, receipt.last_n, receipt.cancel_requested, ledger.now)
                for key, receipt in ledger.new_receipts.items()
            ],
        )
    if ledger.deleted_instance is not None:
        gone = (ledger.deleted_instance,)
        await session.execute(
            "INSERT OR IGNORE INTO purges SELECT id FROM runs WHERE instance_id = ?", gone
        )
        await session.execute("DELETE FROM runs WHERE instance_id = ?", gone)
        await session.execute("DELETE FROM instances WHERE id = ?", gone)


async def _insert(session: Session, events: list[StoredEvent]) -> None:
    done = 0
    for rows in _CHUNKS:
        sql = _INSERT + ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?)"] * rows)
        while len(events) - done >= rows:
            params: list[Any] = []
            for n, type_, instance_id, run_id, seq, label, data in events[done : done + rows]:
                params += (n, type_, instance_id, run_id, seq, label, len(data), data.decode())
            await session.execute(sql, params)
            done += rows


async def _finish_purge(session: Session, run_id: str) -> None:
    """A run of this id was deleted, and its lines may be there yet: they are not the new one's."""
    if await session.value("SELECT 1 FROM purges WHERE run_id = ?", (run_id,)):
        for sql in ("DELETE FROM events WHERE run_id = ?", "DELETE FROM receipts WHERE run_id = ?"):
            await session.execute(sql, (run_id,))
        await session.execute("DELETE FROM purges WHERE run_id = ?", (run_id,))


def _json(thing: Any) -> str:
    return msgspec.json.encode(thing).decode()


def _upsert(table: str, columns: tuple[str, ...], changing: tuple[str, ...]) -> str:
    places = ", ".join("?" * len(columns))
    updates = ", ".join(f"{column} = excluded.{column}" for column in changing)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "
        f"ON CONFLICT (id) DO UPDATE SET {updates}"
    )


_UPSERT_INSTANCE = _upsert("instances", (*INSTANCE_COLUMNS, "created_n"), INSTANCE_COLUMNS[1:])
_UPSERT_RUN = _upsert("runs", (*RUN_COLUMNS, "created_n", "ended_n"), (*RUN_COLUMNS[2:], "ended_n"))
