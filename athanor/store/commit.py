"""One flush, one transaction: load what the commands name, decide, write, commit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..domain.commands import AppendEntries, Command, Decision, DeleteInstance, Work, deciding
from ..domain.ledger import Ledger, Receipt
from ..domain.series import Series
from ..protocol.events import StoredEvent
from ..protocol.records import now
from ..protocol.stored import StoredRun
from . import levels
from .collector import no_collection
from .metrics import Place, SeriesCache, add_results
from .rows import INSTANCE, RUN, RUN_WITHOUT_METADATA, instance_of, instance_row, run_of, run_row
from .session import Params, Session
from .slices import in_slices


@dataclass(slots=True)
class Commit:
    """The outcome of a flush: a decision for each command, the events in order, the changed runs.

    A run of which the counts alone have changed has no metadata here.
    """

    decisions: list[Decision]
    events: list[StoredEvent]
    runs: list[StoredRun]
    after: int
    """The newest number before its events."""
    newest: int


@dataclass(slots=True)
class Flush:
    """Some commands on their way into the database, for as many attempts as it takes.

    If an attempt fails during its COMMIT, its outcome is unknown. The next attempt looks for
    `number`, which names the process and its flush; `commit` is the outcome of the first one.
    """

    commands: list[Command]
    number: tuple[str, int]
    commit: Commit | None = None


async def commit(session: Session, flush: Flush, notifications: list[str], series: SeriesCache) -> Commit:
    """Make a flush durable. Raises the database's error; nothing is changed then."""
    async with session.writing() as newest:
        if not await session.is_new(flush.number):
            assert flush.commit is not None
            return flush.commit
        ledger = Ledger(newest, now())
        await _load(session, ledger, flush.commands)
        with no_collection():
            decisions = await in_slices(deciding(ledger, flush.commands))
        known = series.take(newest)
        await _write(session, ledger)
        await _add_results(session, ledger, known)
        if ledger.events:
            notification = f"{ledger.newest} {flush.number[0]}"
            await session.advance(ledger.newest, [*notifications, notification])
        changed = ledger.touched_runs | ledger.counted_runs
        runs = [run for run in map(ledger.runs.get, changed) if run is not None]
        flush.commit = Commit(decisions, ledger.events, runs, newest, ledger.newest)
    series.keep(known, ledger.newest)
    return flush.commit


async def _load(session: Session, ledger: Ledger, commands: list[Command]) -> None:
    """Load the runs, instances and receipts that the commands name."""
    named = [command for command in commands if command.run_id is not None]
    changing = {str(command.run_id) for command in named if not isinstance(command, AppendEntries)}
    appending = {str(command.run_id) for command in named} - changing
    for columns, run_ids in ((RUN, changing), (RUN_WITHOUT_METADATA, appending)):
        if run_ids:
            ledger.runs.update(dict.fromkeys(run_ids))
            among, params = session.among("id", run_ids)
            await _load_runs(session, ledger, f"SELECT {columns} FROM runs WHERE {among}", params)
    instance_ids = {command.instance_id for command in commands if command.instance_id is not None}
    if instance_ids:
        ledger.instances.update(dict.fromkeys(instance_ids))
        among, params = session.among("id", instance_ids)
        sql = f"SELECT {INSTANCE} FROM instances WHERE {among}"
        for row in await session.fetch(sql, params):
            instance = instance_of(row)
            ledger.instances[instance.id] = instance
    if isinstance(commands[0], DeleteInstance):
        sql = f"SELECT {RUN} FROM runs WHERE instance_id = ? AND status IN ('pending', 'running')"
        await _load_runs(session, ledger, sql, (commands[0].instance_id,))
    keys = [(command.run_id, command.key) for command in commands if command.key is not None]
    if keys:
        among, params = session.among("(run_id, key)", keys)
        sql = f"SELECT run_id, key, accepted, last_n, cancel_requested FROM receipts WHERE {among}"
        for run_id, key, accepted, last_n, requested in await session.fetch(sql, params):
            ledger.receipts[run_id, key] = Receipt(accepted, last_n, bool(requested))


async def _load_runs(session: Session, ledger: Ledger, sql: str, params: Params) -> None:
    await in_slices(_keep_runs(ledger, await session.fetch(sql, params)))


def _keep_runs(ledger: Ledger, rows: list[list[Any]]) -> Work[None]:
    for row in rows:
        run = run_of(row)
        ledger.runs[run.id] = run
        yield


async def _write(session: Session, ledger: Ledger) -> None:
    for id in ledger.touched_instances:
        instance = ledger.instances[id]
        assert instance is not None
        row = (*instance_row(instance), ledger.created.get(f"instance:{id}", 0))
        await session.write(_UPSERT_INSTANCE, row)
    for id in ledger.touched_runs:
        if f"run:{id}" in ledger.created:
            await _finish_purge(session, id)
    if ledger.touched_runs:
        await session.execute_many(_UPSERT_RUN, await in_slices(_run_rows(ledger)))
    counts: list[Params] = []
    # after the rows of touched runs, which have no counts of levels
    for id in ledger.counted_runs:
        run = ledger.runs[id]
        assert run is not None
        added = levels.row(ledger.added_levels[id])
        counts.append((id, run.log_count, run.result_count, *added))
    if counts:
        listed, params = session.listed(_COUNTS, counts)
        await session.write(_UPDATE_COUNTS.format(listed), params)
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
        for sql in _DELETE_INSTANCE:
            await session.write(sql, (ledger.deleted_instance,))
    if ledger.deleted_run is not None:
        for sql in _DELETE_RUN:
            await session.write(sql, (ledger.deleted_run,))


def _run_rows(ledger: Ledger) -> Work[list[Params]]:
    rows: list[Params] = []
    for id in ledger.touched_runs:
        run = ledger.runs[id]
        assert run is not None
        rows.append((*run_row(run), ledger.created.get(f"run:{id}", 0), ledger.ended.get(id)))
        yield
    return rows


async def _add_results(session: Session, ledger: Ledger, known: dict[Place, Series]) -> None:
    if ledger.created:
        # a deleted run may have had the id of a new one
        for place in [place for place in known if f"run:{place[0]}" in ledger.created]:
            del known[place]
    if ledger.results:
        await add_results(session, ledger.results, known)


async def _finish_purge(session: Session, run_id: str) -> None:
    """Delete what a deleted run of this id left: it does not belong to the new one."""
    if await session.value("SELECT 1 FROM purges WHERE run_id = ?", (run_id,)):
        for sql in _FINISH_PURGE:
            await session.write(sql, (run_id,))


_UPSERT_INSTANCE = f"""
INSERT INTO instances ({INSTANCE}, created_n) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET name = excluded.name,
    experiment_module = excluded.experiment_module, description = excluded.description,
    configuration = excluded.configuration, created_at = excluded.created_at,
    updated_at = excluded.updated_at"""

_UPSERT_RUN = f"""
INSERT INTO runs ({RUN}, created_n, ended_n) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error,
    metadata = excluded.metadata, created_at = excluded.created_at,
    started_at = excluded.started_at, completed_at = excluded.completed_at,
    cancel_requested_at = excluded.cancel_requested_at, log_count = excluded.log_count,
    result_count = excluded.result_count, ended_n = coalesce(excluded.ended_n, runs.ended_n)"""

_COUNTS = "tii" + "i" * len(levels.COLUMNS)
_UPDATE_COUNTS = (
    f"UPDATE runs SET log_count = c1, result_count = c2, {levels.ADD_LISTED} FROM {{}} WHERE id = c0"
)

_DELETE_INSTANCE = (
    "INSERT INTO purges SELECT id FROM runs WHERE instance_id = ? ON CONFLICT DO NOTHING",
    "DELETE FROM runs WHERE instance_id = ?",
    "DELETE FROM instances WHERE id = ?",
)

_DELETE_RUN = (
    "INSERT INTO purges VALUES (?) ON CONFLICT DO NOTHING",
    "DELETE FROM runs WHERE id = ?",
)

_FINISH_PURGE = (
    # that a run was deleted stays true
    "DELETE FROM events WHERE run_id = ? AND type <> 'run_deleted'",
    "DELETE FROM receipts WHERE run_id = ?",
    "DELETE FROM metrics WHERE run_id = ?",
    "DELETE FROM blocks WHERE run_id = ?",
    "DELETE FROM purges WHERE run_id = ?",
)
