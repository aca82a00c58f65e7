"""Athanor, the engine: everything the protocol offers, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import msgspec

from ..cluster.peers import TELL_EVERY, Peers
from ..cluster.relay import Relay
from ..config import Settings
from ..domain.commands import (
    AppendEntries,
    ChangeStatus,
    Command,
    CreateInstance,
    CreateRun,
    DeleteInstance,
    RequestCancel,
    UpdateInstance,
    found_run,
    no_instance,
)
from ..domain.ledger import Receipt
from ..exceptions import NotRunning, NotStarted, TooLarge
from ..live.hub import Hub
from ..live.liveness import Liveness
from ..live.progress import ProgressBoard
from ..live.replay import Source
from ..live.run_cache import RunCache
from ..live.subscription import Subscription
from ..protocol.cursor import Cursor
from ..protocol.encoding import without_surrogates
from ..protocol.entries import EncodedEntry, Entry, LogInput, ProgressInput, ResultInput, encode_entries
from ..protocol.events import StoredEvent, decode
from ..protocol.inputs import InstanceInput, InstancePatch, RunInput, checked
from ..protocol.records import Instance, InstanceSummary, Progress, Run, new_id, now
from ..protocol.selection import Selection
from ..protocol.topics import INSTANCES, Topic
from ..store import queries
from ..store.commit import Commit
from ..store.queries import Entries, EntryFilter
from ..store.store import Store
from .flusher import Flusher, Pending
from .maintenance import Maintenance, keepalive_slots
from .ring import RingBuffer


class Athanor:
    """An async context manager that owns ring, flusher, store and hub.

        async with Athanor(Settings(database_url="sqlite:///lab.db")) as athanor:
            instance = await athanor.create_instance("digits")
            run = await athanor.create_run(instance.id)
            await athanor.start_run(run.id)
            await athanor.log(run.id, "epoch 1")
            await athanor.complete_run(run.id)

    `log`, `result` and `progress` return as soon as the event is buffered; all the rest returns
    after the commit. A full ring is waited for, except by `append`, for those who can't. A refusal is an
    `AthanorError` and leaves nothing half done.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self.started = False
        self.events_stored: Counter[str] = Counter()

    async def __aenter__(self) -> Athanor:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Open the database and start the background tasks."""
        assert not self.started, "this engine was started before"
        settings = self.settings
        self.store = Store(settings)
        await self.store.open()
        self.hub = Hub(self.store.epoch, self.store.newest, keepalive_slots(settings))
        self.board = ProgressBoard(self.hub, settings.flush_interval)
        self.ring: RingBuffer[Pending] = RingBuffer(settings.ring_capacity, settings.ring_bytes)
        self.runs = RunCache(self.store)
        self.liveness = Liveness(settings.stale_after, 2 * TELL_EVERY if self.store.shared else 0.0)
        self._meet_others()
        self.flusher = Flusher(
            self.ring,
            self.store,
            settings.flush_interval,
            self._committed,
            self.peers.telling if self.peers else _nothing_to_tell,
        )
        self.maintenance = Maintenance(settings, self.store, self.flusher, self.hub, self.liveness)
        self.source = Source(self.hub, self.store, self.board, settings)
        self.flusher.start()
        if self.relay:
            self.relay.start()
        self.maintenance.start(await self.store.read(queries.cancel_requested))
        self.started = True

    async def drain(self) -> None:
        """Write what is buffered, send it, and end every stream; `shutdown_timeout` is for all of it."""
        if self.started and not self.hub.closed:
            try:
                async with asyncio.timeout(self.settings.shutdown_timeout):
                    await self.flusher.flushed()
                    await self.hub.reached(self.store.newest)
            except TimeoutError:
                self.flusher.give_up()  # who waits is to have an answer while there is a server
            self.hub.close()

    async def stop(self) -> None:
        """Write what is left, end every stream, close the database."""
        if not self.started:
            return
        self.started = False
        await self.maintenance.stop()
        await self.flusher.stop(self.settings.shutdown_timeout)
        self.hub.close()
        if self.relay:
            await self.relay.stop()
        await self.store.close()

    def check_started(self) -> None:
        if not self.started:
            raise NotStarted("this Athanor is not started: use it as `async with`")

    @property
    def trouble(self) -> str | None:
        """Why events are not being stored, or not shown, at the moment; None if they are."""
        if not self.started:
            return "not started"
        return self.flusher.trouble or (self.relay.trouble if self.relay else None)

    # instances

    async def create_instance(self, name: str, *, id: str | None = None, **fields: Any) -> Instance:
        """Make an instance; `fields` are `experiment_module`, `description`, `configuration`.

        `Conflict` if the id is taken.
        """
        given = checked({"name": name, "id": id, **fields}, InstanceInput)
        change = CreateInstance(instance_id=given.id or new_id(), fields=_without_id(given))
        instance: Instance = await self._submit(change)
        return instance

    async def put_instance(self, id: str, name: str, **fields: Any) -> tuple[Instance, bool]:
        """Make an instance or replace all of it; the instance, and whether it is new."""
        given = checked({"name": name, "id": id, **fields}, InstanceInput)
        change = UpdateInstance(instance_id=id, fields=_without_id(given), create=True)
        instance, created = await self._submit(change)
        return instance, created

    async def update_instance(self, id: str, **fields: Any) -> Instance:
        """Change the given fields of an instance."""
        given = msgspec.to_builtins(checked(fields, InstancePatch))
        instance, _ = await self._submit(UpdateInstance(instance_id=id, fields=given))
        assert isinstance(instance, Instance)
        return instance

    async def delete_instance(self, id: str) -> None:
        """Delete an instance and all its runs; `Conflict` while one is running."""
        await self._submit(DeleteInstance(instance_id=id))
        self.maintenance.hurry_upkeep()

    async def get_instance(self, id: str) -> InstanceSummary:
        self.check_started()
        instance = await self.store.read(lambda session: queries.find_instance(session, id))
        if instance is None:
            raise no_instance(id)
        return instance

    # runs

    async def create_run(
        self, instance_id: str, *, id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Run:
        """Make a pending run; with an `id` that the instance has already, that run as it is."""
        run, _ = await self.put_run(instance_id, id=id, metadata=metadata)
        return run

    async def put_run(
        self, instance_id: str, *, id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> tuple[Run, bool]:
        """As `create_run`, and whether the run is new."""
        given = checked({"id": id, "metadata": dict(metadata or {})}, RunInput)
        run, created = await self._submit(
            CreateRun(run_id=given.id or new_id(), instance_id=instance_id, metadata=given.metadata)
        )
        return run, created

    async def get_run(self, id: str) -> Run:
        self.check_started()
        state = await self.store.read(lambda session: queries.find_run(session, id))
        return found_run(state.run if state else None, id)

    async def start_run(self, id: str) -> Run:
        return await self._move(ChangeStatus(run_id=id, status="running"))

    async def complete_run(self, id: str) -> Run:
        return await self._move(ChangeStatus(run_id=id, status="completed"))

    async def fail_run(self, id: str, error: str | None = None) -> Run:
        error = without_surrogates(error)
        return await self._move(ChangeStatus(run_id=id, status="failed", error=error))

    async def cancel_run(self, id: str) -> Run:
        """Ask a run to end: its producer hears of it, and has `cancel_timeout` seconds to answer."""
        return await self._move(RequestCancel(run_id=id))

    async def run_cancelled(self, id: str) -> Run:
        """The producer's word that it has ended."""
        return await self._move(ChangeStatus(run_id=id, status="cancelled"))

    async def _move(self, change: ChangeStatus | RequestCancel) -> Run:
        """After the final flush: everything accepted before is committed with it or was before."""
        run: Run = await self._submit(change)
        return run

    # what a run reports

    async def log(
        self,
        run_id: str,
        message: str,
        *,
        level: str = "info",
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Add a line to a running run; returns when it is buffered."""
        entry = {
            **{"type": "run_log", "message": message, "level": level, "timestamp": timestamp},
            "metadata": None if metadata is None else dict(metadata),
        }
        await self._buffer(run_id, checked(entry, LogInput))

    async def result(
        self,
        run_id: str,
        key: str,
        value: Any,
        *,
        step: int | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Add a result, any JSON, to a running run; returns when it is buffered."""
        entry = {"type": "run_result", "key": key, "value": value, "step": step}
        await self._buffer(run_id, checked({**entry, "timestamp": timestamp}, ResultInput))

    async def progress(
        self,
        run_id: str,
        current: float,
        total: float | None = None,
        message: str | None = None,
    ) -> Run:
        """Say how far a running run is; broadcast, never stored. Gives the run."""
        entry = {"type": "run_progress", "current": current, "total": total, "message": message}
        return await self.report_progress(run_id, checked(entry, ProgressInput))

    async def report_progress(self, run_id: str, entry: ProgressInput) -> Run:
        self.check_started()
        run = await self.runs.running(run_id)
        _, progress = encode_entries([entry], now(), self.settings.max_message_bytes)
        assert progress is not None
        self._report(run_id, progress)
        self._beat(run_id)
        return run

    async def heartbeat(self, run_id: str) -> Run:
        """A sign of life from a running run that has nothing to report. Gives the run."""
        self.check_started()
        run = await self.runs.running(run_id)
        self._beat(run_id)
        return run

    async def append(self, run_id: str, entries: Iterable[Entry], *, key: str | None = None) -> Receipt:
        """Add entries of any kind, all or none; returns after the commit.

        `key` is an idempotency key: used before for this run, the first receipt comes again and
        nothing is stored. Raises `RingFull` instead of waiting.
        """
        self.check_started()
        lines, progress = self._lines(entries)
        if progress is not None:
            await self.runs.running(run_id)
        outcome = self.flusher.submit(_append(run_id, lines, key))
        if progress is not None and key is None:
            self._report(run_id, progress)
        receipt: Receipt = await outcome
        if progress is not None and key is not None and not receipt.replayed:
            # not before: a repeated request must not show an older progress; nor after the run's end
            with contextlib.suppress(NotRunning):
                await self.runs.running(run_id)
                self._report(run_id, progress)
        if self.runs.is_running(run_id):  # it may have ended meanwhile
            self._beat(run_id)
        return receipt

    async def append_later(
        self, run_id: str, entries: Iterable[Entry], *, key: str | None = None
    ) -> Receipt:
        """As `append`, but returns as soon as the entries are buffered, without a number."""
        self.check_started()
        lines, progress = self._lines(entries)
        run = await self.runs.running(run_id)
        self.flusher.submit_unwatched(_append(run_id, lines, key))
        if progress is not None:
            self._report(run_id, progress)
        self._beat(run_id)
        return Receipt(len(lines), None, run.cancel_requested_at is not None)

    def _lines(self, entries: Iterable[Entry]) -> tuple[list[EncodedEntry], Progress | None]:
        lines, progress = encode_entries(entries, now(), self.settings.max_message_bytes)
        if len(lines) > self.ring.capacity:
            raise TooLarge(f"one request may bring {self.ring.capacity} lines at most")
        return lines, progress

    async def _buffer(self, run_id: str, entry: Entry) -> None:
        self.check_started()
        await self.runs.running(run_id)
        lines, _ = self._lines([entry])
        change = _append(run_id, lines, None)
        await self.flusher.room_for(change)
        self.flusher.submit_unwatched(change)
        self._beat(run_id)

    # reading

    async def entries(self, run_id: str, wanted: EntryFilter, limit: int) -> tuple[Entries, str]:
        """Logs or results by `seq`, and the cursor of what was seen. `NotFound` for the run."""
        self.check_started()

        async def job(session: Any) -> Entries | None:
            if await queries.find_run(session, run_id) is None:
                return None
            return await queries.list_entries(session, run_id, wanted, limit)

        found, cursor = await self.store.snapshot(job)
        if found is None:
            found_run(None, run_id)
        assert found is not None
        return found, cursor

    # subscribing

    def subscribe(
        self,
        *topics: str | Topic,
        after: str | None = None,
        tail: int = 0,
        types: Iterable[str] | None = None,
    ) -> Subscription:
        """Typed events of some topics: after the cursor `after`, or the newest `tail`, then live.

        async with athanor.subscribe("experiments:runs") as events:
            async for event in events:
                match event:
                    case RunCompleted(run=run): ...
        """
        self.check_started()
        selection = Selection.make(topics, types)
        return Subscription(self.source, selection, None if after is None else Cursor.parse(after), tail)

    def subscribe_to_run(self, id: str, **options: Any) -> Subscription:
        """A run's life, logs, results and progress; ends with the run."""
        return self.subscribe(Topic("run", id), **options)

    def subscribe_to_instance(self, id: str, **options: Any) -> Subscription:
        """An instance and the life of its runs; ends with its deletion."""
        return self.subscribe(Topic("instance", id), **options)

    def subscribe_to_instances(self, **options: Any) -> Subscription:
        """Every instance's creation, changes and deletion."""
        return self.subscribe(INSTANCES, **options)

    # the inside

    def _meet_others(self) -> None:
        """Where other processes may use the same database: a line to them, and an eye on it."""
        self.peers: Peers | None = None
        self.relay: Relay | None = None
        if self.store.shared:
            self.peers = Peers(self.store.process, self.board, self.liveness, self.runs.is_over)
            self.relay = Relay(
                self.store,
                self.hub,
                self.peers,
                self.liveness,
                self.settings.flush_interval,
                self._happened,
            )

    def _report(self, run_id: str, progress: Progress) -> None:
        self.board.report(run_id, progress)
        if self.peers:
            self.peers.tell_progress(run_id, progress)

    def _beat(self, run_id: str) -> None:
        self.liveness.beat(run_id)
        if self.peers:
            self.peers.tell_sign_of_life(run_id)

    async def _submit(self, change: Command) -> Any:
        """A change of a life: waits for room, and asks for a flush now."""
        self.check_started()
        await self.flusher.room_for(change)
        return await self.flusher.submit(change, hurry=True)

    def _committed(self, commit: Commit) -> None:
        """What was committed here: learn from it, and broadcast it."""
        for run in commit.runs:
            self._learn(run)
        for event in commit.events:
            self.events_stored[event.type] += 1
            if event.instance_id is not None:
                self._note(event)
        if self.relay:
            self.relay.broadcast(commit)
        else:
            self.hub.broadcast(commit.events, commit.newest)

    def _happened(self, rows: list[StoredEvent]) -> None:
        """What was committed anywhere, before its broadcast."""
        for row in rows:
            if row.instance_id is not None:
                run = getattr(decode(row.data, None), "run", None)
                if run is not None:
                    self._learn(run)
                self._note(row)

    def _learn(self, run: Run) -> None:
        """What a run's state means for the rest of the engine."""
        self.runs.learn(run)
        if run.is_final:
            self.board.end(run.id)
            self.maintenance.run_ended(run.id)
            self.liveness.stop(run.id)
        elif run.cancel_requested_at is not None:
            self.maintenance.watch_cancel(run.id)

    def _note(self, event: StoredEvent) -> None:
        if event.type == "run_started" and event.run_id is not None:
            self.liveness.beat(event.run_id)
        if event.type == "instance_deleted":
            for run_id in self.runs.forget_instance(event.instance_id):
                self.board.forget(run_id)


def _nothing_to_tell() -> contextlib.AbstractContextManager[list[str]]:
    return contextlib.nullcontext([])


def _append(run_id: str, lines: list[EncodedEntry], key: str | None) -> AppendEntries:
    # 100 bytes: what a line costs beside its text, in a list of tuples
    size = sum(len(line.tail) for line in lines) + 100 * len(lines)
    return AppendEntries(run_id=run_id, lines=lines, key=key, bytes=size)


def _without_id(given: InstanceInput) -> dict[str, Any]:
    fields = msgspec.structs.asdict(given)
    del fields["id"]
    return fields
