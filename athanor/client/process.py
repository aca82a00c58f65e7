"""The process in which runs live: its end, its signals, and its forks."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .log_filter import filter_http_logs
from .notices import write_notice

SIGNAL_TIMEOUT = 2.0
"""Seconds that a signal leaves for delivery; what is left then is in the spool."""
REPEAT_INTERVAL = 0.05
"""Seconds after which a signal that was not handled is sent again."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals by which schedulers, containers and terminals end a process."""


class Hooks(NamedTuple):
    """What a run does at events of its process. `on_signal` gets a signal's name, and seconds."""

    on_exit: Callable[[], None]
    on_signal: Callable[[str, float], None]
    on_fork: Callable[[], None]


_runs: dict[object, Hooks] = {}
"""The runs that have not ended, in the order in which they began."""


def register(run: object, hooks: Hooks) -> None:
    _runs[run] = hooks


def unregister(run: object) -> None:
    """The run has ended: call none of its hooks."""
    _runs.pop(run, None)


def newest_first() -> Iterator[object]:
    """The runs that have not ended."""
    return iter(list(reversed(_runs)))


def handle_signals() -> None:
    """Deliver before SIGTERM and SIGHUP end this process, where that is all that they would do.

    A handler of the script, an ignored signal (`nohup`) and other threads than the main one are
    left alone. A worker of `multiprocessing` is included: a pool ends its workers by SIGTERM.
    """
    # `signal` raises ValueError outside the main thread
    with contextlib.suppress(ValueError):
        for number in ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _on_signal)
                _watch_signals()


def call_at_end_of_worker(run: object, on_exit: Callable[[], None]) -> None:
    """Call `on_exit` when this process ends, if it is a worker of `multiprocessing`.

    Workers end without `atexit`, but call finalizers of their own.
    """
    if "multiprocessing" in sys.modules:
        from multiprocessing import parent_process, util

        if parent_process() is not None:
            util.Finalize(run, _finalizer(on_exit), exitpriority=100)


def _finalizer(on_exit: Callable[[], None]) -> Callable[[], None]:
    def finalize() -> None:
        global _is_finalizing
        _is_finalizing = True
        on_exit()
        # nothing is left to deliver: a signal may end the process at once, and one that came
        # meanwhile has to, for the worker may hang in a lock of a stream that it inherited
        _restore_handlers()
        if _deferred is not None:
            os.kill(os.getpid(), _deferred)

    return finalize


_is_finalizing = False
_deferred: int | None = None
"""A signal that came while a worker was ending by itself."""
_signalled: int | None = None
"""The signal by which the process is about to die."""


def _on_signal(number: int, _: object) -> None:
    """End all runs, then die by the signal. A thread does it, for this one may hold any lock."""
    global _signalled, _deferred
    if _is_finalizing:
        _deferred = number
        return
    if _signalled is not None:
        return
    _signalled = number
    thread = threading.Thread(target=_end_all_by, args=(number,), daemon=True)
    thread.start()
    thread.join(SIGNAL_TIMEOUT)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _end_all_by(number: int) -> None:
    deadline = time.monotonic() + SIGNAL_TIMEOUT * 0.75
    if _has_forked:
        # a scheduler signals all processes of a job: the members deliver before the run ends
        time.sleep(SIGNAL_TIMEOUT / 4)
    for hooks in list(_runs.values()):
        left = max(0.1, deadline - time.monotonic())
        _call(hooks.on_signal, signal.Signals(number).name, left)


_wakeup: list[int] = []
"""Both ends of the pipe into which CPython writes the numbers of signals."""


def _watch_signals() -> None:
    """Make sure that the main thread handles the signals.

    CPython records a signal and handles it at the main thread's next step. If the signal comes just
    before that thread waits for a lock of `multiprocessing`, as a pool's idle worker does, there is
    no next step.
    """
    if _wakeup:
        return
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
    threading.Thread(target=_repeat_signals, args=(reader,), name="athanor-signals", daemon=True).start()


def _repeat_signals(reader: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while data := os.read(reader, 1):
        number = data[0]
        began = time.monotonic()
        while number in ENDING and _signalled is None:
            time.sleep(REPEAT_INTERVAL)
            if _is_finalizing or signal.getsignal(number) is not _on_signal:
                break
            if _signalled is None:
                signal.pthread_kill(main, number)
            if time.monotonic() - began > SIGNAL_TIMEOUT / 4:
                _die_without_main_thread(number)


def _die_without_main_thread(number: int) -> None:
    """As `_on_signal`, while the main thread is in a call that Python can't interrupt.

    That may be a computation of a C library, or a lock of a stream that a forked child inherited.
    `signal.signal` is for the main thread only, so the C API sets the default action.
    """
    import ctypes

    _end_all_by(number)
    ctypes.pythonapi.PyOS_setsig(number, ctypes.c_void_p(0))
    os.kill(os.getpid(), number)


def _stop_watching() -> None:
    """In a forked process: stop reading the parent's signals, and leave it as the script wants it."""
    _restore_handlers()
    # ValueError if another thread forked, which is the main thread now
    with contextlib.suppress(ValueError):
        if _wakeup:
            signal.set_wakeup_fd(-1)
    for end in _wakeup:
        os.close(end)
    _wakeup.clear()


def _restore_handlers() -> None:
    with contextlib.suppress(ValueError):
        for number in ENDING:
            if signal.getsignal(number) is _on_signal:
                signal.signal(number, signal.SIG_DFL)


@atexit.register
def _end_all() -> None:
    for hooks in list(_runs.values()):
        _call(hooks.on_exit)


def _call(hook: Callable[..., None], *arguments: object) -> None:
    try:
        hook(*arguments)
    except Exception as error:
        write_notice(f"a run could not be ended: {error!r}")


_has_forked = False
_forking = threading.local()
"""`mask`: the signals that this thread had blocked before it forked."""


def _before_fork() -> None:
    """Hold the signals back until the child has handlers of its own.

    A pool may end a worker that has just been forked. Until then the worker would handle the signal
    as its parent: end the parent's run, and write into the pipe that the parent reads.
    """
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def _after_fork_in_parent() -> None:
    global _has_forked
    _has_forked = True
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _after_fork_in_child() -> None:
    _stop_watching()
    for hooks in list(_runs.values()):
        hooks.on_fork()
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


filter_http_logs()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
