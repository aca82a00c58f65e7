"""Hooks for the end and the forks of the process in which runs live."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from .log_filter import filter_http_logs
from .notices import write_notice

EXIT_TIMEOUT = 3.0
"""Seconds that a worker which gets SIGTERM has to deliver what is left."""
REPEAT_INTERVAL = 0.05
"""Seconds after which a signal that was not handled is sent again."""

Hook = Callable[[], None]

_runs: dict[object, tuple[Hook, Hook]] = {}
"""The runs that have not ended, in the order in which they began, with their two hooks."""


def register(run: object, on_exit: Hook, on_fork: Hook) -> None:
    """Call `on_exit` when the process ends, and `on_fork` in each child that is forked."""
    _runs[run] = on_exit, on_fork


def unregister(run: object) -> None:
    """The run has ended: call none of its hooks."""
    _runs.pop(run, None)


def newest_first() -> Iterator[object]:
    """The runs that have not ended."""
    return iter(list(reversed(_runs)))


def call_at_end_of_worker(run: object, on_exit: Hook) -> None:
    """Call `on_exit` when this process ends, if it is a worker of `multiprocessing`.

    Workers end without `atexit`, but call finalizers of their own. A pool ends its workers by
    SIGTERM as soon as they have nothing more to do.
    """
    if "multiprocessing" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(run, _finalizer(on_exit), exitpriority=100)
            # `signal` raises ValueError outside the main thread
            with contextlib.suppress(ValueError):
                if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                    signal.signal(signal.SIGTERM, _on_sigterm)
                    _watch_sigterm()


def _finalizer(on_exit: Hook) -> Hook:
    def finalize() -> None:
        global _is_finalizing
        _is_finalizing = True
        on_exit()

    return finalize


_is_finalizing = False
_has_sigterm = False


def _on_sigterm(number: int, _: object) -> None:
    """End all runs, then die by the signal. A thread does it, for this one may hold any lock."""
    global _has_sigterm
    had_sigterm, _has_sigterm = _has_sigterm, True
    if _is_finalizing or had_sigterm:
        # the process is about to end
        return
    thread = threading.Thread(target=_end_all, daemon=True)
    thread.start()
    thread.join(EXIT_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


_wakeup: list[int] = []
"""Both ends of the pipe into which CPython writes the numbers of signals."""


def _watch_sigterm() -> None:
    """Make sure that the main thread handles SIGTERM.

    CPython records a signal and handles it at the main thread's next step. If the signal comes just
    before that thread waits for a lock of `multiprocessing`, as a pool's idle worker does, there is
    no next step.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    other = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if other != -1:
        # asyncio's: its loop wakes up by itself
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
        while number[0] == signal.SIGTERM and not _has_sigterm:
            time.sleep(REPEAT_INTERVAL)
            if not _has_sigterm:
                signal.pthread_kill(main, signal.SIGTERM)


def _stop_watching() -> None:
    """In a forked process: stop reading the parent's signals."""
    if _wakeup:
        # ValueError if another thread forked, which is the main thread now
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(-1)
        for end in _wakeup:
            os.close(end)
        _wakeup.clear()


@atexit.register
def _end_all() -> None:
    for on_exit, _ in list(_runs.values()):
        try:
            on_exit()
        except Exception as error:
            write_notice(f"a run could not be ended: {error!r}")


def _after_fork() -> None:
    _stop_watching()
    for _, on_fork in list(_runs.values()):
        on_fork()


filter_http_logs()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
