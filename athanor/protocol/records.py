"""Records: instances, runs, log entries, results and progress.

Times are text: RFC 3339 in UTC with microseconds, so that what is shown is what was stored.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

from .metrics import Summary

Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Level = Literal["debug", "info", "warn", "error"]
LevelName = Literal["debug", "info", "warn", "warning", "error", "critical"]
"""A level as a producer may write it; `LEVELS` maps it to the level that is stored."""
Amount = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]
MAX_STEP = 2**53
"""A browser rounds larger integers (ECMAScript, Number.MAX_SAFE_INTEGER + 1)."""
_StepBounds = msgspec.Meta(ge=-MAX_STEP, le=MAX_STEP)
Step = Annotated[int, _StepBounds] | Annotated[float, _StepBounds]
"""Steps may be fractions, and may go back."""
MAX_BARS = 16
"""Bars that a run shows at once."""

LEVELS: dict[str, Level] = {
    **{"debug": "debug", "info": "info", "warn": "warn", "error": "error"},
    **{"warning": "warn", "critical": "error"},
}
"""The stored level of each name."""

FINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class Instance(msgspec.Struct, kw_only=True):
    """A configured experiment."""

    id: str
    name: str
    experiment_module: str | None = None
    description: str | None = None
    configuration: dict[str, Any] = {}
    created_at: str
    updated_at: str


class InstanceSummary(Instance, kw_only=True):
    """An instance as lists show it: with the number of its runs, and the newest of them."""

    run_count: int = 0
    last_run_at: str | None = None
    last_run_status: Status | None = None


class Run(msgspec.Struct, kw_only=True):
    """One execution of an instance. Each count is also the newest `seq` of its kind."""

    id: str
    instance_id: str
    status: Status = "pending"
    error: str | None = None
    metadata: dict[str, Any] = {}
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    cancel_requested_at: str | None = None
    log_count: int = 0
    result_count: int = 0

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


class RunState(Run, kw_only=True):
    """A run as the service shows it. `stale`: it runs, and has given no sign of life for a while.

    `summary` has some of its metrics by key, where they were asked for.
    """

    stale: bool = False
    summary: dict[str, Summary] | msgspec.UnsetType = msgspec.UNSET


class LogEntry(msgspec.Struct, kw_only=True):
    """A log entry; `seq` counts 1, 2, 3 … within its run."""

    seq: int
    level: Level
    message: str
    metadata: dict[str, Any] | None = None
    timestamp: str


class Result(msgspec.Struct, kw_only=True):
    """A result: any JSON under a key; `seq` counts 1, 2, 3 … within its run."""

    seq: int
    key: str
    value: Any
    step: Step | None = None
    timestamp: str


class ProgressBar(msgspec.Struct, kw_only=True):
    """One of several bars; `total` is None where it is unknown."""

    current: Amount
    total: Amount | None = None
    message: str | None = None


Bars = Annotated[list[ProgressBar], msgspec.Meta(max_length=MAX_BARS)]


class Progress(ProgressBar, kw_only=True):
    """How far a run is. With several `bars`, outermost first, the other fields are the first one's."""

    bars: Bars | msgspec.UnsetType = msgspec.UNSET
    updated_at: str = ""


class LevelCounts(msgspec.Struct, kw_only=True):
    """How many log entries of each level a run has, without those that retention deleted."""

    debug: int = 0
    info: int = 0
    warn: int = 0
    error: int = 0


class RunDetail(RunState, kw_only=True):
    """A run with its last known progress; `last_event_id` is the cursor at which it was read.

    `summary` has its first 100 metrics by key.
    """

    summary: dict[str, Summary] = {}
    progress: Progress | None
    level_counts: LevelCounts
    last_event_id: str


def now() -> str:
    """The present time, as `2026-11-23T17:30:00.123456Z`."""
    return format_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def seconds_of(time: str) -> float:
    """A time of the form that `format_time` gives, in seconds since the epoch."""
    return datetime.fromisoformat(time).timestamp()


def new_id() -> str:
    """A new id, which sorts by time: 11 hex digits of milliseconds, then 10 random ones."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"
