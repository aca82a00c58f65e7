"""The things Athanor knows: instances, runs, log entries, results, progress.

Times are RFC 3339 in UTC with microseconds, as text, so that what is shown is what was stored.
"""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec

Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Level = Literal["debug", "info", "warn", "error"]
Amount = Annotated[int, msgspec.Meta(ge=0)] | Annotated[float, msgspec.Meta(ge=0)]

LEVELS: dict[str, Level] = {
    **{"debug": "debug", "info": "info", "warn": "warn", "error": "error"},
    **{"warning": "warn", "critical": "error"},
}
"""Level by name: the four that are stored, and the aliases that producers may use."""

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
    """An instance as it is listed, with a word on its runs."""

    run_count: int = 0
    last_run_at: str | None = None
    last_run_status: Status | None = None


class Run(msgspec.Struct, kw_only=True):
    """One execution of an instance; the counts are also its newest `seq` of each kind."""

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


class LogEntry(msgspec.Struct, kw_only=True):
    """One line; `seq` counts 1, 2, 3 … within its run."""

    seq: int
    level: Level
    message: str
    metadata: dict[str, Any] | None = None
    timestamp: str


class Result(msgspec.Struct, kw_only=True):
    """One result: any JSON under a key; `seq` counts 1, 2, 3 … within its run."""

    seq: int
    key: str
    value: Any
    step: int | None = None
    timestamp: str


class Progress(msgspec.Struct, kw_only=True):
    """How far a run is; `total` is None where nobody knows."""

    current: Amount
    total: Amount | None = None
    message: str | None = None
    updated_at: str = ""


def now() -> str:
    """This moment, as `2026-11-23T17:30:00.123456Z`."""
    return format_time(datetime.now(UTC))


def format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def new_id() -> str:
    """An id that sorts by the time it was made: 11 hex digits of milliseconds, 10 at random."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(5)}"
