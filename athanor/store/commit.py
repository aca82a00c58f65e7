"""One flush, one transaction: load what the changes are about, decide, write, commit."""

from __future__ import annotations

from dataclasses import dataclass

from ..domain.commands import Command, Decision, DeleteInstance, decide
from ..domain.ledger import Ledger, Receipt
from ..protocol.events import StoredEvent
from ..protocol.records import Run, now
from .rows import INSTANCE_COLUMNS, RUN_COLUMNS, instance_of, row_of, run_of
from .session import Params, Session


@dataclass(slots=True)
class Commit:
    """What a flush did: a decision for each change, the events in order, the runs as they are now."""

    decisions: list[Decision]
    events: list[StoredEvent]
    runs: list[Run]
    after: int
    """The newest number before its events."""
    newest: int


@dataclass(slots=True)
class Flush:
    """Some changes on their way into the database, for as many tries as it takes.

    Where a try broke off in its COMMIT nobody knows if it happened; the next one finds out by `mark`,
    and then `commit` is what happened.
    """

    changes: list[Command]
    mark: tuple[str, int]
    commit: Commit | None = None


async def commit(session: Session, flush: Flush, notices: list[str]) -> Commit:
    """Make a flush durable; on any error the database is as it was, and the error raised."""
    async with session.writing() as newest:
        if not await session.is_new(flush.mark):
            assert flush.commit is not None
            return flush.commit
        ledger = Ledger(newest, now())
        await _load(session, ledger, flush.changes)
        decisions = decide(ledger, flush.changes)
        await _write(session, ledger)
        if ledger.events:
            await session.advance(ledger.newest, [*notices, f"{ledger.newest} {flush.mark[0]}"])
        runs = [run for run in map(ledger.runs.get, ledger.touched_runs) if run is not None]
        flush.commit = Commit(decisions, ledger.events, runs, newest, ledger.newest)
    return flush.commit


async def _load(session: Session, ledger: Ledger, changes: list[Command]) -> None:
    run_ids = {change.run_id for change in changes if change.run_id is not None}
    if run_ids:
        ledger.runs.update(dict.fromkeys(run_ids))
        among, params = session.among("id", run_ids)
        await _load_runs(session, ledger, f"FROM runs WHERE {among}", params)
    instance_ids = {change.instance_id for change in changes if change.instance_id is not None}
    if instance_ids:
        ledger.instances.update(dict.fromkeys(instance_ids))
        among, params = session.among("id", instance_ids)
        for row in await session.fetch(INSTANCE_COLUMNS, f"FROM instances WHERE {among}", params):
            instance = instance_of(row)
            ledger.instances[instance.id] = instance
    if isinstance(changes[0], DeleteInstance):
        where = "FROM runs WHERE instance_id = ? AND status IN ('pending', 'running')"
        await _load_runs(session, ledger, where, (changes[0].instance_id,))
    keys = [(change.run_id, change.key) for change in changes if change.key is not None]
    if keys:
        columns = ("run_id", "key", "accepted", "last_n", "cancel_requested")
        among, params = session.among("(run_id, key)", keys)
        rows = await session.fetch(columns, f"FROM receipts WHERE {among}", params)
        for run_id, key, accepted, last_n, asked in rows:
            ledger.receipts[run_id, key] = Receipt(accepted, last_n, bool(asked))


async def _load_runs(session: Session, ledger: Ledger, rest: str, params: Params) -> None:
    for row in await session.fetch(RUN_COLUMNS, rest, params):
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
    await session.insert(ledger.events)
    if ledger.new_receipts:
        await session.execute_many(
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?, ?)",
            [
                (*key, receipt.accepted, receipt.last_n, int(receipt.cancel_requested), ledger.now)
                for key, receipt in ledger.new_receipts.items()
            ],
        )
    if ledger.deleted_instance is not None:
        gone = (ledger.deleted_instance,)
        await session.execute(
            "INSERT INTO purges SELECT id FROM runs WHERE instance_id = ? ON CONFLICT DO NOTHING", gone
        )
        await session.execute("DELETE FROM runs WHERE instance_id = ?", gone)
        await session.execute("DELETE FROM instances WHERE id = ?", gone)


async def _finish_purge(session: Session, run_id: str) -> None:
    """A run of this id was deleted, and its lines may be there yet: they are not the new one's."""
    if await session.value("SELECT 1 FROM purges WHERE run_id = ?", (run_id,)):
        for sql in ("DELETE FROM events WHERE run_id = ?", "DELETE FROM receipts WHERE run_id = ?"):
            await session.execute(sql, (run_id,))
        await session.execute("DELETE FROM purges WHERE run_id = ?", (run_id,))


def _upsert(table: str, columns: tuple[str, ...], changing: tuple[str, ...]) -> str:
    places = ", ".join("?" * len(columns))
    updates = ", ".join(f"{column} = excluded.{column}" for column in changing)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "
        f"ON CONFLICT (id) DO UPDATE SET {updates}"
    )


_UPSERT_INSTANCE = _upsert("instances", (*INSTANCE_COLUMNS, "created_n"), INSTANCE_COLUMNS[1:])
_UPSERT_RUN = _upsert("runs", (*RUN_COLUMNS, "created_n", "ended_n"), (*RUN_COLUMNS[2:], "ended_n"))
