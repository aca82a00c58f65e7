"""The process that runs live in: its end, and its forks."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from .notices import tell
from .silence import hush

LAST_WORDS = 3.0
"""Seconds that a worker which is told to end is given for what it has not delivered."""
REPEAT = 0.05
"""Seconds after which a signal that was not heard is repeated."""

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
    """A process of `multiprocessing` ends without `atexit`, and with finalizers of its own.

    A pool that is left ends its workers by SIGTERM as soon as they have nothing more to do.
    """
    if "multiprocessing" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(run, _leaving(leave), exitpriority=100)
            with contextlib.suppress(ValueError):  # not the main thread: nothing can be done
                if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                    signal.signal(signal.SIGTERM, _leave_and_die)
                    _watch_sigterm()


def _leaving(leave: Hook) -> Hook:
    def left() -> None:
        global _is_leaving
        _is_leaving = True
        leave()

    return left


_is_leaving = False
_is_told = False


def _leave_and_die(number: int, _: object) -> None:
    """As SIGTERM does it, after the last lines; by a thread, for this one may hold any lock."""
    global _is_told
    was_told, _is_told = _is_told, True
    if _is_leaving or was_told:
        return  # it is about to end anyway
    thread = threading.Thread(target=_leave_all, daemon=True)
    thread.start()
    thread.join(LAST_WORDS)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


_wakeup: list[int] = []
"""The ends of the pipe that says which signals came."""


def _watch_sigterm() -> None:
    """See to it that the main thread hears of it.

    CPython notes a signal and handles it at the main thread's next step. Comes it just before that
    thread waits for a lock of `multiprocessing`, as a pool's idle worker does, there is no next step.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    other = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if other != -1:  # asyncio's: its loop wakes up by itself
        signal.set_wakeup_fd(other)
        os.close(reader)
        os.close(writer)
        return
    _wakeup[:] = reader, writer
    threading.Thread(target=_repeat_sigterm, args=(reader,), name="athanor-sigterm", daemon=True).start()


def _repeat_sigterm(reader: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while number := os.read(reader, 1):
        while number[0] == signal.SIGTERM and not _is_told:
            time.sleep(REPEAT)
            if not _is_told:
                signal.pthread_kill(main, signal.SIGTERM)


def _stop_watching() -> None:
    """In a forked process: its signals are none of its parent's."""
    if _wakeup:
        with contextlib.suppress(ValueError):  # forked by another thread, which is the main one now
            signal.set_wakeup_fd(-1)
        for end in _wakeup:
            os.close(end)
        _wakeup.clear()


@atexit.register
def _leave_all() -> None:
    for leave, _ in list(_runs.values()):
        try:
            leave()
        except Exception as error:
            tell(f"a run could not be ended: {error!r}")


def _fork_all() -> None:
    _stop_watching()
    for _, fork in list(_runs.values()):
        fork()


hush()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
