"""The process that runs live in: its end, and its forks."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Iterator

from .notices import tell
from .silence import hush

Hook = Callable[[], None]

_runs: dict[object, tuple[Hook, Hook]] = {}
"""Those that have not ended, in the order they were begun; an end is owed to each."""


def enter(run: object, leave: Hook, fork: Hook) -> None:
    """Call `leave` when the process ends, and `fork` in each child that is forked."""
    _runs[run] = leave, fork


def leave(run: object) -> None:
    """It has ended."""
    _runs.pop(run, None)


def newest_first() -> Iterator[object]:
    return iter(list(reversed(_runs)))


def at_end_of_child(run: object, leave: Hook) -> None:
    """A process of `multiprocessing` ends without `atexit`, and with finalizers of its own."""
    if "multiprocessing" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(run, leave, exitpriority=100)


@atexit.register
def _leave_all() -> None:
    for leave, _ in list(_runs.values()):
        try:
            leave()
        except Exception as error:
            tell(f"a run could not be ended: {error!r}")


def _fork_all() -> None:
    for _, fork in list(_runs.values()):
        fork()


hush()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
