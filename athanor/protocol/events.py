"""The vocabulary: every type of event, how one is stored, and as what a subscriber in Python meets it.

A persisted event is a `StoredEvent`: a row of the event log. Of a run's life and of an instance's,
its `data` is the whole event's JSON; of a log entry or a result, the entry's alone, because how many
entries go out as one event is known only when they do (`frames`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from .encoding import encode
from .records import Amount, Instance, LogEntry, Result, Run
from .topics import Topic


class StoredEvent(NamedTuple):
    """A row of the event log. `n` is its number, `label` a log's level or a result's key."""

    n: int
    type: str
    instance_id: str | None
    run_id: str | None
    seq: int | None
    label: str | None
    data: bytes


class Event(msgspec.Struct, tag_field="type", kw_only=True):
    """The base of all events; `id` is the cursor behind it, None for progress."""

    id: str | None = None


class InstanceCreated(Event, tag="instance_created", kw_only=True):
    instance: Instance


class InstanceUpdated(Event, tag="instance_updated", kw_only=True):
    instance: Instance


class InstanceDeleted(Event, tag="instance_deleted", kw_only=True):
    instance_id: str


class RunCreated(Event, tag="run_created", kw_only=True):
    run: Run


class RunStarted(Event, tag="run_started", kw_only=True):
    run: Run


class RunCompleted(Event, tag="run_completed", kw_only=True):
    run: Run


class RunFailed(Event, tag="run_failed", kw_only=True):
    run: Run
    error: str | None


class RunCancelled(Event, tag="run_cancelled", kw_only=True):
    run: Run


class RunCancelRequested(Event, tag="run_cancel_requested", kw_only=True):
    run: Run


class RunLog(Event, tag="run_log", kw_only=True):
    run_id: str
    log: LogEntry


class RunLogs(Event, tag="run_logs", kw_only=True):
    run_id: str
    logs: list[LogEntry]


class RunResult(Event, tag="run_result", kw_only=True):
    run_id: str
    result: Result


class RunResults(Event, tag="run_results", kw_only=True):
    run_id: str
    results: list[Result]


class RunProgress(Event, tag="run_progress", kw_only=True):
    run_id: str
    current: Amount
    total: Amount | None
    message: str | None


class Gap(Event, tag="gap", kw_only=True):
    """A cursor that could not be honoured: events after `after` and before `oldest` are gone.

    `reason` is `expired` (retention took them), `foreign` (another database's cursor) or `future`
    (ahead of the newest event); `topic` says which of several it concerns.
    """

    after: str
    oldest: str | None
    reason: str
    topic: str | None = None


_PUBLISHED: tuple[type[Event], ...] = (
    *(InstanceCreated, InstanceUpdated, InstanceDeleted),
    *(RunCreated, RunStarted, RunCompleted, RunFailed, RunCancelled, RunCancelRequested),
    *(RunLog, RunLogs, RunResult, RunResults, RunProgress),
)
TYPES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in _PUBLISHED)

PLURAL = {"run_log": "run_logs", "run_result": "run_results"}
ENTRY_TYPES = frozenset(PLURAL)
RUN_ENDS = frozenset({"run_completed", "run_failed", "run_cancelled"})
INSTANCE_ENDS = frozenset({"instance_deleted"})

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    InstanceCreated | InstanceUpdated | InstanceDeleted
    | RunCreated | RunStarted | RunCompleted | RunFailed | RunCancelled | RunCancelRequested
    | RunLog | RunLogs | RunResult | RunResults | RunProgress | Gap
)  # fmt: skip


def decode(data: bytes, id: str | None) -> Event:
    """The event in `data`, typed, with its cursor."""
    event: Event = _decoder.decode(data)
    event.id = id
    return event


def topics_of(event: StoredEvent) -> tuple[Topic, ...]:
    """The topics a persisted event belongs to, as the protocol's table has them."""
    if event.type in ENTRY_TYPES:
        return (Topic("run", event.run_id),)
    of_instance = Topic("instance", event.instance_id)
    if event.run_id is not None:
        return (Topic("runs"), of_instance, Topic("run", event.run_id))
    if event.type == "instance_created":
        return (Topic("instances"),)
    return (Topic("instances"), of_instance)


def encode_event(event: Event) -> bytes:
    """The event's JSON, without an `id` (that is the envelope's)."""
    fields = msgspec.to_builtins(event)
    del fields["id"]
    return encode(fields)
