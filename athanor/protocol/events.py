"""Events: every type, as it is stored and as a subscriber in Python receives it.

A `StoredEvent` is a row of the event log. For an event of a run's or an instance's life, `data` is
the JSON of the whole event. For a log entry or a result it is the JSON of the entry alone: only
`live.segments` knows how many entries are sent as one event.
"""

from __future__ import annotations

from typing import Any

import msgspec

from .encoding import encode
from .records import Amount, Instance, LogEntry, ProgressBar, Result, Run, Status
from .stored import StoredRun
from .topics import Topic

__all__ = [
    "Event", "Gap", "InstanceCreated", "InstanceDeleted", "InstanceUpdated",
    "RunCancelRequested", "RunCancelled", "RunCompleted", "RunCreated", "RunDeleted", "RunFailed",
    "RunLog", "RunLogs", "RunProgress", "RunResult", "RunResults", "RunStarted", "RunUpdated",
]  # fmt: skip
"""The public events; `athanor.events` re-exports them."""


# a flush has thousands: with `gc=False`, the garbage collector does not look at each
class StoredEvent(msgspec.Struct, gc=False):
    """A row of the event log.

    `n` is its number, `seq` the number within its run, `label` the level of a log entry or the key
    of a result. Entries have no `instance_id`; events of a life have no `seq`, and the label
    `AFTER_END` if the run had ended before.
    """

    n: int
    type: str
    instance_id: str | None
    run_id: str | None
    seq: int | None
    label: str | None
    data: bytes


class Event(msgspec.Struct, tag_field="type", kw_only=True):
    """The base of all events; `id` is its cursor, None for progress and gaps."""

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


class RunUpdated(Event, tag="run_updated", kw_only=True):
    """The metadata of a run has changed."""

    run: Run


class RunDeleted(Event, tag="run_deleted", kw_only=True):
    run_id: str
    instance_id: str


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
    """`bars`: the states of several bars, outermost first; the other fields are the first one's."""

    run_id: str
    # a service of an earlier version does not send it
    instance_id: str = ""
    current: Amount
    total: Amount | None
    message: str | None
    bars: list[ProgressBar] | msgspec.UnsetType = msgspec.UNSET


class Gap(Event, tag="gap", kw_only=True):
    """The stream can't begin at a cursor: events after `after` and before `oldest` are missing.

    `reason` is `expired` (retention deleted them), `foreign` (a cursor of another database) or
    `future` (a cursor after the newest event). `topic` names one of several topics.
    """

    after: str
    oldest: str | None
    reason: str
    topic: str | None = None


_PUBLISHED: tuple[type[Event], ...] = (
    *(InstanceCreated, InstanceUpdated, InstanceDeleted),
    *(RunCreated, RunStarted, RunUpdated, RunCancelRequested),
    *(RunCompleted, RunFailed, RunCancelled, RunDeleted),
    *(RunLog, RunLogs, RunResult, RunResults, RunProgress),
)
TYPES: tuple[str, ...] = tuple(str(kind.__struct_config__.tag) for kind in _PUBLISHED)

AFTER_END = "after end"
"""The label of events of a run that come after its final event, so not on its own topic."""

PLURAL = {"run_log": "run_logs", "run_result": "run_results"}
ENTRY_TYPES = frozenset(PLURAL)
RUN_ENDS = frozenset({"run_completed", "run_failed", "run_cancelled"})
INSTANCE_ENDS = frozenset({"instance_deleted"})

_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
    InstanceCreated | InstanceUpdated | InstanceDeleted
    | RunCreated | RunStarted | RunUpdated | RunCancelRequested
    | RunCompleted | RunFailed | RunCancelled | RunDeleted
    | RunLog | RunLogs | RunResult | RunResults | RunProgress | Gap
)  # fmt: skip


def decode(data: bytes, id: str | None) -> Event:
    """The event in `data`, typed, with its cursor `id`. Raises `msgspec.DecodeError`."""
    event: Event = _decoder.decode(data)
    event.id = id
    return event


def topics_of(event: StoredEvent) -> tuple[Topic, ...]:
    """The topics of a stored event (docs/protocol.md, "Topics and events")."""
    if event.type in ENTRY_TYPES:
        return (Topic("run", event.run_id),)
    of_instance = Topic("instance", event.instance_id)
    if event.run_id is not None:
        of_run = () if _is_after_end(event) else (Topic("run", event.run_id),)
        return (Topic("runs"), of_instance, *of_run)
    if event.type == "instance_created":
        return (Topic("instances"),)
    return (Topic("instances"), of_instance)


def _is_after_end(event: StoredEvent) -> bool:
    """As its label says, which events that were read from the database do not have."""
    if event.type == "run_updated":
        run = run_in(event.data)
        return run is not None and run.is_final
    return event.type == "run_deleted"


class _RunOnly(msgspec.Struct):
    """A run's event without what a client said about it."""

    run: StateOfRun | None = None


class StateOfRun(msgspec.Struct, kw_only=True):
    """The fields of a `Run` that the service itself sets."""

    id: str
    instance_id: str
    status: Status
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    cancel_requested_at: str | None = None
    log_count: int = 0
    result_count: int = 0


_run_decoder = msgspec.json.Decoder(_RunOnly)


def run_in(data: bytes) -> StoredRun | None:
    """The run in an event of a life, without its error and its metadata, which are not decoded."""
    found = _run_decoder.decode(data).run
    return None if found is None else StoredRun(**msgspec.structs.asdict(found))


def encode_event(event: Event) -> bytes:
    """The event's JSON, without its `id`, which the wire format carries beside it."""
    assert event.id is None
    return encode(event).replace(_NO_ID, b",", 1)


# the first field after the type
_NO_ID = b',"id":null,'
