"""`app.py` on a clock that a test sets: `clock` in the current folder has the seconds to add.

Only the wall clock is set. Time that passes is measured by the monotonic clock, which no operator
sets either.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SHIFT = Path("clock")
_time = time.time


def shifted_time() -> float:
    return _time() + float(_SHIFT.read_text())


class ShiftedDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return cls.fromtimestamp(shifted_time(), tz)


def set_clock() -> None:
    """Before anything imports these names."""
    names: dict[str, Callable[[], float]] = {
        "time": shifted_time,
        "time_ns": lambda: int(shifted_time() * 1e9),
    }
    for name, function in names.items():
        setattr(time, name, function)
    datetime.datetime = ShiftedDatetime  # type: ignore[misc]


if __name__ == "__main__":
    set_clock()
    from athanor import create_app, serve

    serve(create_app())
