"""The newest run of this process, for reports from code that has no run at hand.

    athanor.init("digits")
    athanor.log({"loss": 0.31}, 10)
    athanor.finish()

Without a run, a notice says so, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import process
from .notices import Notices
from .run import BarState, LogLevel, Run

_notices = Notices()


def current() -> Run | None:
    """The newest run of this process that has not ended."""
    return next((run for run in process.newest_first() if isinstance(run, Run)), None)


def log(message: Any, /, step: Any = None, *, level: LogLevel = "info", **metadata: Any) -> None:
    """`Run.log` of the newest run that has not ended. Never raises."""
    if run := _current_for("log"):
        run.log(message, step, level=level, **metadata)


def result(key: str, value: Any, step: float | None = None) -> None:
    """`Run.result` of the newest run that has not ended. Never raises."""
    if run := _current_for("result"):
        run.result(key, value, step)


def progress(
    current: float,
    total: float | None = None,
    message: str | None = None,
    *,
    bars: Sequence[BarState] | None = None,
) -> None:
    """`Run.progress` of the newest run that has not ended. Never raises."""
    if run := _current_for("progress"):
        run.progress(current, total, message, bars=bars)


def finish() -> None:
    """End the newest run that has not ended, as `Run.finish` does. Never raises."""
    if run := _current_for("finish"):
        run.finish()


def _current_for(name: str) -> Run | None:
    run = current()
    if run is None:
        _notices.show("none", f"athanor.{name} has no run: call athanor.init first")
    return run
