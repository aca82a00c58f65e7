"""The typed events that subscribers receive, under their public name: `athanor.events`.

The definitions are in `protocol.events`; `match` statements in scripts and hosts use this module.
"""

from __future__ import annotations

from .protocol.events import (
    Event,
    Gap,
    InstanceCreated,
    InstanceDeleted,
    InstanceUpdated,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunLog,
    RunLogs,
    RunProgress,
    RunResult,
    RunResults,
    RunStarted,
)

__all__ = [
    "Event",
    "Gap",
    "InstanceCreated",
    "InstanceDeleted",
    "InstanceUpdated",
    "RunCancelRequested",
    "RunCancelled",
    "RunCompleted",
    "RunCreated",
    "RunFailed",
    "RunLog",
    "RunLogs",
    "RunProgress",
    "RunResult",
    "RunResults",
    "RunStarted",
]
