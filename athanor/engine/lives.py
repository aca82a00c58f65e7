"""The lives of instances and runs, whose JSON objects stay text: what HTTP takes and answers.

`Athanor` has the same methods for hosts, with objects in the place of the text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..config import Limits
from ..domain.commands import (
    ChangeStatus,
    CreateInstance,
    CreateRun,
    RequestCancel,
    UpdateInstance,
    UpdateRun,
    found_run,
    no_instance,
)
from ..exceptions import InvalidInput
from ..protocol.bounds import MAX_ERROR
from ..protocol.encoding import without_surrogates
from ..protocol.inputs import ABSENT, RawInstanceInput, RawInstancePatch, RawRunInput, RawRunPatch
from ..protocol.metrics import ALL_KEYS, DETAIL_KEYS, LISTED_KEYS, KeyPage
from ..protocol.pages import Page
from ..protocol.raw import EMPTY, fields_of, object_with, size_of
from ..protocol.records import LevelCounts, Status, new_id
from ..protocol.stored import (
    StoredDetail,
    StoredInstance,
    StoredRun,
    StoredState,
    StoredSummaries,
    StoredSummary,
)
from ..protocol.topics import ID_PATTERN, is_id
from ..store import levels, metrics, queries
from ..store.queries import Window
from ..store.session import Session
from .parts import Parts

END = 2**62
"""A position after every event."""


class Lives:
    """Each method raises what the method of `Athanor` of that name raises.

    What is given was accepted by `protocol.inputs.accepted`.
    """

    def __init__(self, parts: Parts, limits: Limits) -> None:
        self._parts = parts
        self._limits = limits

    async def create_instance(self, given: RawInstanceInput) -> StoredInstance:
        fields = msgspec.structs.asdict(given)
        command = CreateInstance(instance_id=fields.pop("id") or new_id(), fields=fields)
        command.weight = _weight(fields)
        instance: StoredInstance = await self._parts.submit(command)
        return instance

    async def put_instance(self, id: str, given: RawInstanceInput) -> tuple[StoredInstance, bool]:
        if not is_id(id):
            raise InvalidInput(f"{id[:100]!r} can't be an id; ids match {ID_PATTERN}")
        fields = msgspec.structs.asdict(given)
        del fields["id"]
        command = UpdateInstance(instance_id=id, fields=fields, create=True, weight=_weight(fields))
        instance, created = await self._parts.submit(command)
        return instance, created

    async def update_instance(self, id: str, given: RawInstancePatch) -> StoredInstance:
        fields = msgspec.structs.asdict(given)
        if fields["configuration"] == ABSENT:
            del fields["configuration"]
        fields = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        command = UpdateInstance(instance_id=id, fields=fields, weight=_weight(fields))
        instance: StoredInstance
        instance, _ = await self._parts.submit(command)
        return instance

    async def get_instance(self, id: str) -> StoredSummary:
        found = await self._parts.store.read(lambda session: queries.find_instance(session, id))
        if found is None:
            raise no_instance(id)
        return found

    async def list_instances(
        self, name: str | None, before: int | None, limit: int
    ) -> Page[StoredSummary]:
        window = self._window(before, limit)
        (found, following), cursor = await self._parts.store.snapshot(
            lambda session: queries.list_instances(session, name, window)
        )
        return Page(found, cursor, following)

    async def put_run(self, instance_id: str, given: RawRunInput) -> tuple[StoredState, bool]:
        command = CreateRun(given.id or new_id(), instance_id, metadata=given.metadata)
        command.weight = size_of(given.metadata)
        run, created = await self._parts.submit(command)
        return self.state_of(run), created

    async def get_run(self, id: str) -> StoredDetail:
        parts = self._parts

        async def job(
            session: Session,
        ) -> tuple[queries.RunRecord | None, LevelCounts, StoredSummaries]:
            record, counts = await queries.find_run(session, id), await levels.counts(session, id)
            return record, counts, (await metrics.summaries(session, [id], [], DETAIL_KEYS))[id]

        (record, counts, summary), cursor = await parts.store.snapshot(job)
        state = self.state_of(found_run(record.run if record else None, id))
        state.summary = summary
        progress = parts.runs.progress.latest(id)
        fields = msgspec.structs.asdict(state)
        return StoredDetail(**fields, progress=progress, level_counts=counts, last_event_id=cursor)

    async def list_runs(
        self,
        instance_id: str | None,
        status: Status | None,
        before: int | None,
        limit: int,
        summary: list[str] | None = None,
    ) -> Page[StoredState]:
        window = self._window(before, limit)

        async def job(session: Session) -> tuple[list[StoredState], int | None]:
            if instance_id is not None and not await queries.has_instance(session, instance_id):
                raise no_instance(instance_id)
            runs, following = await queries.list_runs(session, instance_id, status, window)
            states = [self.state_of(run) for run in runs]
            if summary is not None:
                keys = [] if ALL_KEYS in summary else summary
                ids = [run.id for run in runs]
                found = await metrics.summaries(session, ids, keys, LISTED_KEYS)
                for state in states:
                    state.summary = found[state.id]
            return states, following

        (states, following), cursor = await self._parts.store.snapshot(job)
        return Page(states, cursor, following)

    async def list_metrics(self, run_id: str, after: str, limit: int) -> KeyPage[bytes]:
        """The JSON of some `Metric`s of a run."""

        async def job(session: Session) -> tuple[list[bytes], int]:
            record = await queries.find_run(session, run_id)
            run = found_run(record.run if record else None, run_id)
            return await metrics.list_metrics(session, run_id, after, limit + 1), run.result_count

        (found, seq), cursor = await self._parts.store.snapshot(job)
        return KeyPage(found[:limit], len(found) > limit, seq, cursor)

    async def update_run(self, id: str, given: RawRunPatch) -> StoredState:
        patch = EMPTY if given.metadata == ABSENT else given.metadata
        fields: dict[str, Any] = {"name": given.name, "tags": given.tags, "notes": given.notes}
        fields = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
        if fields:
            patch = object_with({**fields_of(patch), **fields})
        return await self.change(UpdateRun(id, patch=patch, weight=size_of(patch)))

    async def set_status(self, id: str, status: Status, error: str | None = None) -> StoredState:
        if error is not None and len(error) > MAX_ERROR:
            detail = f"$.error: an error may have {MAX_ERROR} characters at most; keep its end"
            raise InvalidInput(detail, [{"line": 1, "path": "$.error", "detail": detail}])
        text = without_surrogates(error)
        return await self.change(ChangeStatus(id, status=status, error=text, weight=len(text or "")))

    async def cancel_run(self, id: str) -> StoredState:
        return await self.change(RequestCancel(id))

    async def change(self, command: ChangeStatus | RequestCancel | UpdateRun) -> StoredState:
        """Submit a change of a run, which weighs what the run weighs."""
        assert command.run_id is not None
        command.weight += self._parts.runs.cache.size_of(command.run_id)
        return self.state_of(await self._parts.submit(command))

    def state_of(self, run: StoredRun) -> StoredState:
        """The run as the service shows it."""
        stale = self._parts.runs.liveness.is_stale(run)
        return StoredState(**msgspec.structs.asdict(run), stale=stale)

    def _window(self, before: int | None, limit: int) -> Window:
        return Window(END if before is None else before, limit, self._limits.record_bytes)


def _weight(fields: dict[str, Any]) -> int:
    texts = (value for value in fields.values() if isinstance(value, str))
    configuration = fields.get("configuration")
    return sum(map(len, texts)) + (size_of(configuration) if configuration is not None else 0)
