"""`Athanor`: everything the protocol offers, as an object, without HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ..config import Limits, Settings
from ..domain.commands import AppendEntries, DeleteInstance, DeleteRun, found_run, no_instance
from ..domain.ledger import Receipt
from ..exceptions import NotFound, NotRunning, NotStarted
from ..live.refusals import Refusals
from ..live.subscription import Subscription
from ..protocol.cursor import Cursor
from ..protocol.encoding import spelled
from ..protocol.entries import (
    EncodedEntry,
    EncodedReports,
    ProgressInput,
    RawLogInput,
    RawResultInput,
    Report,
)
from ..protocol.inputs import RawInstanceInput, RawInstancePatch, RawRunInput, RawRunPatch, checked
from ..protocol.metrics import (
    Axis,
    Curve,
    CurvePage,
    CurveQuery,
    KeyPage,
    KeyUse,
    Metric,
    checked_query,
)
from ..protocol.pages import EntryFilter, EntryPage, Page
from ..protocol.records import (
    Instance,
    InstanceSummary,
    LevelName,
    Progress,
    ProgressBar,
    RunDetail,
    RunState,
    Status,
    now,
)
from ..protocol.selection import Selection
from ..protocol.stored import StoredRun, decoded_detail, decoded_instance, decoded_state, decoded_summary
from ..protocol.topics import INSTANCES, Topic
from ..store import metrics, queries
from ..store.curves import read_curves
from ..store.entries import list_entries
from ..store.search import Search
from ..store.session import Session
from ..store.store import Store
from .lives import Lives
from .parts import Parts, start_parts
from .statistics import Statistics


class Athanor:
    """The service as an object: an async context manager.

        async with Athanor(Settings(database_url="sqlite:///lab.db")) as athanor:
            instance = await athanor.create_instance("digits")
            run = await athanor.create_run(instance.id)
            await athanor.start_run(run.id)
            await athanor.log(run.id, "epoch 1")
            await athanor.complete_run(run.id)

    `log`, `result` and `progress` return as soon as the report is buffered; every other method that
    changes something returns after the commit. All but `append` wait while the ring is full.

    Each method raises `NotStarted` before the start and after the end, and `DatabaseUnavailable` if
    it reads a database that fails. A method that raises has changed nothing.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        limits: Limits | None = None,
        make_store: Callable[[Settings, Limits], Store] = Store,
    ) -> None:
        """Without `settings` they are read from the environment (`ConfigurationError`).

        `limits` and `make_store` are for tests.
        """
        self.settings = settings or Settings.from_env()
        self.limits = limits or Limits()
        self.refusals = Refusals()
        self.long_lists = asyncio.Semaphore()
        self._make_store = make_store
        self._parts: Parts | None = None

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
        """Open the database and start the background tasks: all of it, or nothing.

        Raises `DatabaseInUse`, `ConfigurationError` or `DatabaseUnavailable`.
        """
        assert self._parts is None, "this engine is running already"
        self._parts = await start_parts(
            self.settings, self.limits, self._make_store(self.settings, self.limits), self.refusals
        )

    async def drain(self) -> None:
        """Write and send what is buffered, for `shutdown_timeout` seconds, and end every stream."""
        if self._parts is not None:
            await self._parts.drain(self.settings.shutdown_timeout)

    async def stop(self) -> None:
        """Write what is left, end every stream, close the database."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.stop(self.settings.shutdown_timeout)

    @property
    def started(self) -> bool:
        return self._parts is not None

    @property
    def parts(self) -> Parts:
        """The running parts, for the writers of `web`, and for tests. Raises `NotStarted`."""
        if self._parts is None:
            raise NotStarted("this Athanor is not started: use it as `async with`")
        return self._parts

    @property
    def lives(self) -> Lives:
        """Instances and runs whose JSON objects are text, for HTTP. Raises `NotStarted`."""
        return Lives(self.parts, self.limits)

    @property
    def unready_reason(self) -> str | None:
        """Why events are not stored, or not shown, at the moment; None if they are."""
        return self._parts.error if self._parts else "not started"

    def statistics(self) -> Statistics:
        """The numbers of the engine at this moment."""
        return self.parts.statistics()

    def cursor(self, n: int) -> str:
        """The cursor of event number `n`."""
        return self.parts.store.cursor(n)

    # instances

    async def create_instance(
        self,
        name: str,
        *,
        id: str | None = None,
        experiment_module: str | None = None,
        description: str | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> Instance:
        """Create an instance. Raises `Conflict` if the id is taken, `InvalidInput` for a bad value."""
        given = _instance_input(name, id, experiment_module, description, configuration)
        return decoded_instance(await self.lives.create_instance(given))

    async def put_instance(
        self,
        id: str,
        name: str,
        *,
        experiment_module: str | None = None,
        description: str | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> tuple[Instance, bool]:
        """Create an instance, or replace all of its fields; returns it, and whether it is new.

        Raises `InvalidInput` for a bad value.
        """
        given = _instance_input(name, id, experiment_module, description, configuration)
        instance, created = await self.lives.put_instance(id, given)
        return decoded_instance(instance), created

    async def update_instance(
        self,
        id: str,
        *,
        name: str | UnsetType = UNSET,
        experiment_module: str | UnsetType | None = UNSET,
        description: str | UnsetType | None = UNSET,
        configuration: Mapping[str, Any] | UnsetType = UNSET,
    ) -> Instance:
        """Change the given fields of an instance. Raises `NotFound` or `InvalidInput`."""
        given = {
            **{"name": name, "experiment_module": experiment_module},
            **{"description": description, "configuration": configuration},
        }
        fields = {field: value for field, value in given.items() if value is not UNSET}
        return decoded_instance(await self.lives.update_instance(id, checked(fields, RawInstancePatch)))

    async def delete_instance(self, id: str) -> None:
        """Delete an instance and its runs. Raises `NotFound`, or `Conflict` while a run is running."""
        parts = self.parts
        await parts.submit(DeleteInstance(instance_id=id))
        parts.maintenance.hurry_upkeep()

    async def get_instance(self, id: str) -> InstanceSummary:
        """An instance with the number of its runs. Raises `NotFound`."""
        return decoded_summary(await self.lives.get_instance(id))

    async def list_instances(
        self, *, name: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[InstanceSummary]:
        """Instances, newest first; with `name`, those of exactly that name.

        `before` is the position that the page before this one returned.
        """
        page = await self.lives.list_instances(name, before, limit)
        return Page([decoded_summary(item) for item in page.items], page.cursor, page.before)

    # runs

    async def create_run(
        self, instance_id: str, *, id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> RunState:
        """Create a pending run. If the instance has a run of that `id`, return that run as it is.

        Raises `NotFound` for the instance, `Conflict` if another instance has the run, and
        `InvalidInput` for a bad value.
        """
        run, _ = await self.put_run(instance_id, id=id, metadata=metadata)
        return run

    async def put_run(
        self, instance_id: str, *, id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> tuple[RunState, bool]:
        """Create a pending run as `create_run` does; also returns whether the run is new.

        Raises what `create_run` raises.
        """
        given = checked({"id": id, "metadata": dict(metadata or {})}, RawRunInput)
        run, created = await self.lives.put_run(instance_id, given)
        return decoded_state(run), created

    async def get_run(self, id: str) -> RunDetail:
        """A run with its last progress, and the cursor at which it was read. Raises `NotFound`."""
        return decoded_detail(await self.lives.get_run(id))

    async def list_runs(
        self,
        *,
        instance_id: str | None = None,
        status: Status | None = None,
        before: int | None = None,
        limit: int = 100,
        summary: Iterable[str] | None = None,
    ) -> Page[RunState]:
        """Runs, newest first; of one instance, or of one status, if given.

        `before` is the position that the page before this one returned. With `summary`, each run has
        its metrics of these keys; `"*"` means its first 20. Raises `NotFound` for the instance.
        """
        keys = None if summary is None else list(summary)
        page = await self.lives.list_runs(instance_id, status, before, limit, keys)
        return Page([decoded_state(run) for run in page.items], page.cursor, page.before)

    async def start_run(self, id: str) -> RunState:
        """Start a pending run. Raises `NotFound`, or `Conflict` if the run has ended."""
        return decoded_state(await self.lives.set_status(id, "running"))

    async def complete_run(self, id: str) -> RunState:
        """End a running run, after all its accepted entries. Raises `NotFound` or `Conflict`."""
        return decoded_state(await self.lives.set_status(id, "completed"))

    async def fail_run(self, id: str, error: str | None = None) -> RunState:
        """End a running run as failed, for the reason `error`. Raises `NotFound` or `Conflict`."""
        return decoded_state(await self.lives.set_status(id, "failed", error))

    async def cancel_run(self, id: str) -> RunState:
        """Ask a run to end; its producer has `cancel_timeout` seconds to answer.

        A pending run ends at once. Raises `NotFound`, or `Conflict` if the run has ended.
        """
        return decoded_state(await self.lives.cancel_run(id))

    async def run_cancelled(self, id: str) -> RunState:
        """End a run as cancelled, which its producer calls. Raises `NotFound` or `Conflict`."""
        return decoded_state(await self.lives.set_status(id, "cancelled"))

    async def update_run(
        self,
        id: str,
        *,
        name: str | UnsetType | None = UNSET,
        tags: Iterable[str] | UnsetType | None = UNSET,
        notes: str | UnsetType | None = UNSET,
        metadata: Mapping[str, Any] | UnsetType = UNSET,
    ) -> RunState:
        """Change the given fields of a run's metadata, whatever its status; None removes a field.

        `metadata` is merged into what is there (RFC 7396). Raises `NotFound` or `InvalidInput`.
        """
        given = {"name": name, "tags": tags, "notes": notes, "metadata": metadata}
        fields = {field: value for field, value in given.items() if value is not UNSET}
        if isinstance(tags, Iterable):
            fields["tags"] = list(tags)
        return decoded_state(await self.lives.update_run(id, checked(fields, RawRunPatch)))

    async def delete_run(self, id: str) -> None:
        """Delete a run with its entries. Raises `NotFound`, or `Conflict` while it is running."""
        parts = self.parts
        await parts.submit(DeleteRun(run_id=id))
        parts.maintenance.hurry_upkeep()

    # reports

    async def log(
        self,
        run_id: str,
        message: str,
        *,
        level: LevelName = "info",
        metadata: Mapping[str, Any] | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Add a log entry to a running run; returns when it is buffered.

        Raises `NotFound`, `NotRunning`, `TooLarge`, or `InvalidInput` for a bad value.
        """
        entry = {
            **{"type": "run_log", "message": message, "level": level, "timestamp": timestamp},
            "metadata": None if metadata is None else dict(metadata),
        }
        await self._buffer(run_id, checked(entry, RawLogInput))

    async def result(
        self,
        run_id: str,
        key: str,
        value: Any,
        *,
        step: float | None = None,
        timestamp: str | None = None,
    ) -> None:
        """Add a result, any JSON, to a running run; returns when it is buffered.

        NaN and infinity become the strings that mean them (docs/protocol.md). Raises `NotFound`,
        `NotRunning`, or `InvalidInput` for a bad value.
        """
        entry = {"type": "run_result", "key": key, "value": spelled(value), "step": step}
        await self._buffer(run_id, checked({**entry, "timestamp": timestamp}, RawResultInput))

    async def progress(
        self,
        run_id: str,
        current: float,
        total: float | None = None,
        message: str | None = None,
        bars: Iterable[ProgressBar] | None = None,
    ) -> RunState:
        """Report how far a running run is; broadcast, never stored. Returns the run without metadata.

        `bars` are the states of several bars, outermost first, which is the one of `current`.
        Raises `NotFound`, `NotRunning`, `TooLarge`, or `InvalidInput` for a bad value.
        """
        entry: dict[str, Any] = {"type": "run_progress", "current": current}
        entry |= {"total": total, "message": message}
        if bars is not None:
            entry["bars"] = list(bars)
        return await self.report_progress(run_id, checked(entry, ProgressInput))

    async def report_progress(self, run_id: str, report: ProgressInput | Progress) -> RunState:
        """As `progress`, for a report of which the types are checked, or that `encoder` has taken.

        Raises `NotFound`, `NotRunning`, `TooLarge`.
        """
        parts = self.parts
        run = await parts.runs.cache.running(run_id)
        progress = report if isinstance(report, Progress) else self._encode([report])[1]
        assert progress is not None
        parts.publish_progress(run, progress)
        parts.beat(run_id)
        return decoded_state(self.lives.state_of(run))

    async def heartbeat(self, run_id: str) -> RunState:
        """Give a sign of life of a running run; returns the run without metadata.

        Raises `NotFound` or `NotRunning`.
        """
        parts = self.parts
        run = await parts.runs.cache.running(run_id)
        parts.beat(run_id)
        return decoded_state(self.lives.state_of(run))

    def encoder(self) -> EncodedReports:
        """Encodes reports a part at a time, for `append` and `append_later`."""
        return EncodedReports(now(), self.settings.max_message_bytes, self.settings.ring_capacity)

    async def append(
        self, run_id: str, reports: Iterable[Report] | EncodedReports, *, key: str | None = None
    ) -> Receipt:
        """Add reports of any kind, all or none; returns after the commit.

        `key` is an idempotency key: if it was used before for this run, nothing is stored, and the
        first receipt is returned. Raises `RingFull` instead of waiting, and `NotFound`,
        `NotRunning`, `TooLarge` or `InvalidInput`.
        """
        parts = self.parts
        entries, progress = self._encode(reports)
        run = None if progress is None else await parts.runs.cache.running(run_id)
        outcome = parts.flusher.submit(_append(run_id, entries, key))
        if run is not None and progress is not None and key is None:
            parts.publish_progress(run, progress)
        receipt: Receipt = await outcome
        if progress is not None and key is not None and not receipt.replayed:
            # only now: a repeated request must not show an older progress, or one after the end
            with contextlib.suppress(NotFound, NotRunning):
                parts.publish_progress(await parts.runs.cache.running(run_id), progress)
        # the run may have ended meanwhile
        if parts.runs.cache.is_running(run_id):
            parts.beat(run_id)
        return receipt

    async def append_later(
        self, run_id: str, reports: Iterable[Report] | EncodedReports, *, key: str | None = None
    ) -> Receipt:
        """As `append`, but returns as soon as the entries are buffered; the receipt has no number.

        Raises what `append` raises.
        """
        parts = self.parts
        entries, progress = self._encode(reports)
        run = await parts.runs.cache.running(run_id)
        command = _append(run_id, entries, key)
        if progress is not None and key is not None:
            # as in `append`: a repeated request must not show an older progress
            outcome = parts.flusher.submit(command)
            outcome.add_done_callback(partial(_show_unless_replayed, parts, run, progress))
        else:
            parts.flusher.submit_unwatched(command)
            if progress is not None:
                parts.publish_progress(run, progress)
        parts.beat(run_id)
        return Receipt(len(entries), None, run.cancel_requested_at is not None)

    # reading and subscribing

    async def entries(self, run_id: str, wanted: EntryFilter, limit: int = 1000) -> EntryPage:
        """Log entries or results of a run, in order of `seq`. Raises `NotFound` for the run.

        A filter by `text` or `stream` is a search: it ends when its caller is cancelled, and may
        raise `TooManySearches`.
        """
        if wanted.is_search:
            return await self.parts.store.search(Search(run_id, wanted, limit, self.limits))

        async def job(session: Session) -> EntryPage:
            if await queries.find_run(session, run_id) is None:
                found_run(None, run_id)
            return await list_entries(session, run_id, wanted, limit, self.limits.list_bytes)

        page, cursor = await self.parts.store.snapshot(job)
        return page._replace(cursor=cursor)

    async def metrics(self, run_id: str, *, after: str = "", limit: int = 1000) -> KeyPage[Metric]:
        """What is known of each key of a run, after the key `after`. Raises `NotFound` for the run."""
        page = await self.lives.list_metrics(run_id, after, limit)
        items = [msgspec.json.decode(item, type=Metric) for item in page.items]
        return KeyPage(items, page.more, page.seq, page.cursor)

    async def instance_metrics(
        self, instance_id: str, *, after: str = "", limit: int = 1000
    ) -> KeyPage[KeyUse]:
        """The keys of all runs of an instance, after the key `after`. Raises `NotFound`."""

        async def job(session: Session) -> list[KeyUse]:
            if not await queries.has_instance(session, instance_id):
                raise no_instance(instance_id)
            return await metrics.list_keys(session, instance_id, after, limit + 1)

        found, cursor = await self.parts.store.snapshot(job)
        return KeyPage(found[:limit], len(found) > limit, 0, cursor)

    async def curves(
        self,
        run_ids: Iterable[str],
        keys: Iterable[str],
        *,
        points: int = 1000,
        x: Axis = "step",
        start: float | None = None,
        end: float | None = None,
    ) -> CurvePage:
        """The curves of some keys in some runs, over the step or the time, from `start` to `end`.

        They cost about the same, however many points there are. Raises `NotFound` for a run, and
        `InvalidQuery` for too many curves or points.
        """
        query = checked_query(CurveQuery(list(run_ids), list(keys), points, x, start, end))

        async def job(session: Session) -> list[Curve]:
            seqs = await queries.result_counts(session, query.run_ids)
            for run_id in query.run_ids:
                if run_id not in seqs:
                    found_run(None, run_id)
            return await read_curves(session, query, seqs, self.limits.curve_rows)

        # as with long lists: one of them at a time, so that shorter ones do not wait behind many
        is_long = len(query.run_ids) * len(query.keys) * points > self.limits.short_curves
        async with self.long_lists if is_long else contextlib.nullcontext():
            return CurvePage(*await self.parts.store.snapshot(job))

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

        Raises `NotFound` or `InvalidQuery` for a topic, a type or a cursor that does not exist; its
        start raises `NotFound` for a run or an instance.
        """
        source, selection = self.parts.replay, Selection.make(topics, types)
        return Subscription(source, selection, None if after is None else Cursor.parse(after), tail)

    def subscribe_to_run(
        self,
        id: str,
        *,
        after: str | None = None,
        tail: int = 0,
        types: Iterable[str] | None = None,
    ) -> Subscription:
        """A run's life, logs, results and progress; ends with the run. Raises as `subscribe`."""
        return self.subscribe(Topic("run", id), after=after, tail=tail, types=types)

    def subscribe_to_instance(
        self,
        id: str,
        *,
        after: str | None = None,
        tail: int = 0,
        types: Iterable[str] | None = None,
    ) -> Subscription:
        """An instance and the life of its runs; ends with its deletion. Raises as `subscribe`."""
        return self.subscribe(Topic("instance", id), after=after, tail=tail, types=types)

    def subscribe_to_instances(
        self,
        *,
        after: str | None = None,
        tail: int = 0,
        types: Iterable[str] | None = None,
    ) -> Subscription:
        """The creation, changes and deletion of every instance. Raises as `subscribe`."""
        return self.subscribe(INSTANCES, after=after, tail=tail, types=types)

    # inside

    def _encode(
        self, reports: Iterable[Report] | EncodedReports
    ) -> tuple[list[EncodedEntry], Progress | None]:
        if isinstance(reports, EncodedReports):
            return reports.entries, reports.progress
        encoded = self.encoder()
        encoded.add(reports)
        return encoded.entries, encoded.progress

    async def _buffer(self, run_id: str, report: Report) -> None:
        parts = self.parts
        await parts.runs.cache.running(run_id)
        entries, _ = self._encode([report])
        command = _append(run_id, entries, None)
        await parts.flusher.room_for(command)
        parts.flusher.submit_unwatched(command)
        parts.beat(run_id)


def _show_unless_replayed(
    parts: Parts, run: StoredRun, progress: Progress, outcome: asyncio.Future[Receipt]
) -> None:
    """Show progress that came with a key, once its entries are committed."""
    if outcome.cancelled() or outcome.exception() is not None or outcome.result().replayed:
        return
    if parts.runs.cache.is_running(run.id):
        parts.publish_progress(run, progress)


def _append(run_id: str, entries: list[EncodedEntry], key: str | None) -> AppendEntries:
    # 200 bytes: the cost of an entry beside its text, in a list of tuples, with its point
    size = sum(len(entry.tail) for entry in entries) + 200 * len(entries)
    return AppendEntries(run_id=run_id, entries=entries, key=key, bytes=size)


def _instance_input(
    name: str,
    id: str | None,
    experiment_module: str | None,
    description: str | None,
    configuration: Mapping[str, Any] | None,
) -> RawInstanceInput:
    given = {
        **{"name": name, "id": id, "experiment_module": experiment_module},
        **{"description": description, "configuration": dict(configuration or {})},
    }
    return checked(given, RawInstanceInput)
