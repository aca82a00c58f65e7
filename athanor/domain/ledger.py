"""The ledger of one flush: the state that it loaded, and what it will write.

Pure: no clock, no I/O. The store loads the state and writes the outcome inside one transaction, so
a decision is right whatever other processes wrote before.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..protocol.entries import EncodedEntry
from ..protocol.events import (
    AFTER_END,
    Event,
    InstanceCreated,
    InstanceDeleted,
    InstanceUpdated,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCreated,
    RunDeleted,
    RunFailed,
    RunStarted,
    RunUpdated,
    StoredEvent,
    encode_event,
)
from ..protocol.records import LEVELS, Status
from ..protocol.stored import StoredInstance, StoredRun
from .series import Additions


class Receipt(NamedTuple):
    """What a producer receives for its entries; `last_n` is the number of the last one.

    `replayed` is true if the idempotency key was used before, and nothing was stored now.
    """

    accepted: int
    last_n: int | None
    cancel_requested: bool
    replayed: bool = False


class Ledger:
    """State in, events out. None among `runs` or `instances` means: loaded, and does not exist."""

    def __init__(self, newest: int, now: str) -> None:
        self.now = now
        self.newest = newest
        self.instances: dict[str, StoredInstance | None] = {}
        self.runs: dict[str, StoredRun | None] = {}
        self.receipts: dict[tuple[str, str], Receipt] = {}
        self.events: list[StoredEvent] = []
        self.created: dict[str, int] = {}
        """The number of the event that created each `instance:{id}` and `run:{id}`."""
        self.ended: dict[str, int] = {}
        """The number of the event that ended each run."""
        self.touched_runs: set[str] = set()
        self.counted_runs: set[str] = set()
        """The runs of which, if they are not touched, the counts alone have changed."""
        self.added_levels: dict[str, dict[str, int]] = {}
        """For each run, how many log entries of each level were added to it."""
        self.touched_instances: set[str] = set()
        self.results: dict[str, dict[str, Additions]] = {}
        """The results of each run by key."""
        self.new_receipts: dict[tuple[str, str], Receipt] = {}
        self.deleted_instance: str | None = None
        self.deleted_run: str | None = None

    def put_instance(self, instance: StoredInstance, created: bool) -> None:
        self.instances[instance.id] = instance
        self.touched_instances.add(instance.id)
        kind = InstanceCreated if created else InstanceUpdated
        n = self._emit(kind(instance=instance), instance.id, None)
        if created:
            self.created[f"instance:{instance.id}"] = n

    def delete_instance(self, id: str) -> None:
        self.instances[id] = None
        self.deleted_instance = id
        self._emit(InstanceDeleted(instance_id=id), id, None)

    def create_run(self, run: StoredRun) -> None:
        self.runs[run.id] = run
        self.touched_runs.add(run.id)
        self.created[f"run:{run.id}"] = self._emit(RunCreated(run=run), run.instance_id, run.id)

    def update_run(self, run: StoredRun, metadata: msgspec.Raw) -> None:
        run.metadata = metadata
        self.touched_runs.add(run.id)
        label = AFTER_END if run.is_final else None
        self._emit(RunUpdated(run=run), run.instance_id, run.id, label)

    def delete_run(self, run: StoredRun) -> None:
        self.runs[run.id] = None
        self.touched_runs.discard(run.id)
        self.deleted_run = run.id
        event = RunDeleted(run_id=run.id, instance_id=run.instance_id)
        self._emit(event, run.instance_id, run.id, AFTER_END)

    def request_cancel(self, run: StoredRun) -> None:
        run.cancel_requested_at = self.now
        self.touched_runs.add(run.id)
        self._emit(RunCancelRequested(run=run), run.instance_id, run.id)

    def set_status(self, run: StoredRun, status: Status, error: str | None = None) -> None:
        """Set a run's status; the caller has checked that this is allowed."""
        run.status = status
        self.touched_runs.add(run.id)
        if status == "running":
            run.started_at = self.now
            self._emit(RunStarted(run=run), run.instance_id, run.id)
            return
        run.completed_at = self.now
        run.error = error
        event: Event
        if status == "failed":
            event = RunFailed(run=run, error=error)
        else:
            event = RunCompleted(run=run) if status == "completed" else RunCancelled(run=run)
        self.ended[run.id] = self._emit(event, run.instance_id, run.id)

    def append(self, run: StoredRun, entries: list[EncodedEntry]) -> int:
        """Number entries, within the run and in the whole log; returns the last number."""
        n, logs, results = self.newest, run.log_count, run.result_count
        add, run_id = self.events.append, run.id
        levels = self.added_levels.get(run_id)
        if levels is None:
            levels = self.added_levels[run_id] = dict.fromkeys(LEVELS.values(), 0)
        series = self.results.get(run_id) or {}
        for entry in entries:
            n += 1
            label = entry.label
            if entry.type == "run_log":
                logs = seq = logs + 1
                levels[label] += 1
            else:
                results = seq = results + 1
                added = series.get(label)
                if added is None:
                    added = series[label] = Additions()
                if entry.point is None:
                    added.others += 1
                else:
                    added.seqs.append(seq)
                    added.points += entry.point
            data = b'{"seq":%d,%b' % (seq, entry.tail)
            add(StoredEvent(n, entry.type, None, run_id, seq, label, data))
        self.newest, run.log_count, run.result_count = n, logs, results
        self.counted_runs.add(run_id)
        if series:
            self.results[run_id] = series
        return n

    def _emit(self, event: Event, instance_id: str, run_id: str | None, label: str | None = None) -> int:
        self.newest += 1
        type_ = str(event.__struct_config__.tag)
        data = encode_event(event)
        self.events.append(StoredEvent(self.newest, type_, instance_id, run_id, None, label, data))
        return self.newest
