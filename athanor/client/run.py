"""A run, as the script that executes it sees it: report, and end it.

    with athanor.init("digits", name="baseline", config={"lr": 3e-4}) as run:
        run.log("loading")
        run.log({"loss": 0.31, "accuracy": 0.94}, 10)
        for batch in run.track(loader, "train"):
            ...

Reporting never waits for the network, and never raises because of it. What the service does not
take is kept on disk (`spool`). The end of a run waits for `finish_timeout` seconds at most.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from ..exceptions import AthanorError
from ..protocol.bounds import MAX_ERROR
from ..protocol.records import LEVELS, Level, new_id
from . import process
from .delivery.reporter import Reporter
from .delivery.spool import End, Registration
from .encode import (
    as_number,
    encode_log,
    encode_progress,
    encode_result,
    encode_update,
    flattened,
    plain,
    step_of,
)
from .fields import Fields
from .limits import ClientLimits
from .log_filter import is_own_thread
from .notebook import last_error, watch_cells
from .notices import Notices
from .secrets import hidden_fields
from .settings import ClientSettings, without_login
from .terminal_bar import TerminalBars
from .track import Track, Tracks

if TYPE_CHECKING:
    from .capture import Capture
    from .system_metrics import SystemMetrics

T = TypeVar("T")

LogLevel = Level | Literal["warning", "critical", "fatal"]

BarState = tuple[float, float | None, str | None]
"""A bar: `current`, `total` (None if unknown) and its message."""

CANCELLED_CODE = 130
"""The exit code of a script that was cancelled, as of one that Ctrl-C ended (128 + SIGINT)."""


class Cancelled(AthanorError):
    """The run was asked to end. Raised by `Run.track` and `Run.check`.

    A script that does not catch it ends without a traceback, and with the exit code 130.
    """


def exit_quietly_if_cancelled() -> None:
    """From now on, a `Cancelled` that nothing catches ends this process quietly."""
    before = sys.excepthook
    if getattr(before, "is_of_athanor", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, Cancelled):
            # CPython exits with this code if the hook raises it
            raise SystemExit(CANCELLED_CODE)
        before(kind, error, trace)

    hook.is_of_athanor = True  # type: ignore[attr-defined]
    sys.excepthook = hook


class Run:
    """One run, in this process. `init` makes it; all methods may be called from any thread."""

    def __init__(
        self,
        registration: Registration,
        settings: ClientSettings,
        limits: ClientLimits,
        held: bool = False,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._registration = registration
        self._notices = Notices()
        self._reporter: Reporter | None = None
        if settings.mode != "disabled":
            self._reporter = Reporter(registration, settings, limits, self._notices, held=held)
        bars = TerminalBars(settings.mode != "disabled" and not settings.quiet)
        self._tracks = Tracks(self.progress, self.check, bars, settings.wrapped is not None)
        described = registration.metadata
        self._config = Fields(dict(described.get("config") or {}), partial(self._change, "config"))
        self._summary = Fields({}, partial(self._change, "summary"))
        self._captures: list[Capture] = []
        self._system: SystemMetrics | None = None
        self._ending = threading.Lock()
        """Taken for good by the first call that ends the run."""
        self._ended = False
        if self._reporter is not None:
            hooks = process.Hooks(self._on_exit, self._on_signal, self._on_fork)
            process.register(self, hooks)

    @classmethod
    def begin(
        cls,
        registration: Registration,
        settings: ClientSettings,
        limits: ClientLimits = ClientLimits(),  # noqa: B008
        held: bool = False,
    ) -> Run:
        """A new run, which is registered in the background at once.

        With `held`, it is registered when `release` is called, unless its program creates it before.
        """
        run = cls(registration, settings, limits, held)
        if run._reporter is not None:
            run._started(run._reporter)
            watch_cells()
            exit_quietly_if_cancelled()
        return run

    def release(self) -> None:
        """Register a run that was held."""
        if self._reporter is not None:
            self._reporter.release()

    @property
    def id(self) -> str:
        return self._registration.run_id

    @property
    def url(self) -> str:
        """The address of the run's page."""
        return f"{without_login(self._settings.url)}/#/runs/{self.id}"

    @property
    def service_url(self) -> str:
        """The service's address, with a login if it has one: never to be shown."""
        return self._settings.url

    @property
    def name(self) -> str | None:
        """The run's name, which can be changed; None in a process that joined a run."""
        name = self._registration.metadata.get("name")
        return None if name is None else str(name)

    @name.setter
    def name(self, name: str) -> None:
        self._describe(name=str(name))

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags, which can be replaced."""
        return tuple(self._registration.metadata.get("tags") or ())

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._describe(tags=list(map(str, tags)))

    @property
    def notes(self) -> str | None:
        """The run's notes, which can be changed."""
        notes = self._registration.metadata.get("notes")
        return None if notes is None else str(notes)

    @notes.setter
    def notes(self, notes: str | None) -> None:
        self._describe(notes=notes)

    @property
    def config(self) -> Fields:
        """The run's configuration. What is changed here is changed at the service."""
        return self._config

    @property
    def summary(self) -> Fields:
        """What the run came to, as its script says: shown with the run, and changed as `config`."""
        return self._summary

    def __repr__(self) -> str:
        return f"<athanor.Run {self.id} of {self._registration.instance!r}: {self.url}>"

    # reporting

    def log(
        self, message: Any, /, step: Any = None, *, level: LogLevel = "info", **metadata: Any
    ) -> None:
        """Log a message, with `step` and any other keywords as its metadata. Never raises.

        Of a dict, each item becomes a result at `step` instead, and each item of a dict in it too:
        `{"train": {"loss": 0.1}}` has the key `train/loss`.
        """
        if isinstance(message, Mapping):
            for key, value in flattened(message):
                self.result(key, value, step)
            return
        if isinstance(step, str) and step.lower() in LEVELS:
            # as in version 0.x, where the level came second
            level, step = LEVELS[step.lower()], None
            self._notices.show("level", "the level is a keyword now: run.log(message, level=…)")
        if step is not None:
            metadata["step"] = step
        self._put(encode_log, message, level, metadata)

    def report(
        self,
        message: str,
        level: LogLevel = "info",
        metadata: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> None:
        """Log a message that was written at `at` (with its offset from UTC). Never raises."""
        self._put(encode_log, message, level, metadata, at)

    def debug(self, message: Any, /, **metadata: Any) -> None:
        """Log a message at level debug. Never raises."""
        self._put(encode_log, message, "debug", metadata)

    def info(self, message: Any, /, **metadata: Any) -> None:
        """Log a message at level info. Never raises."""
        self._put(encode_log, message, "info", metadata)

    def warning(self, message: Any, /, **metadata: Any) -> None:
        """Log a message at level warn. Never raises."""
        self._put(encode_log, message, "warn", metadata)

    def error(self, message: Any, /, **metadata: Any) -> None:
        """Log a message at level error. Never raises."""
        self._put(encode_log, message, "error", metadata)

    def result(self, key: str, value: Any, step: float | None = None) -> None:
        """Store any JSON under a key; a key's numbers are a curve over `step`. Never raises.

        A step is a number of any type, from -2^53 to 2^53; it may be a fraction, and may go back.
        """
        if step is not None and step_of(step) is None:
            self._notices.show(
                "step",
                f"{plain(step)!r:.100} is no step: it must be a number from -2^53 to 2^53; "
                "results are stored without it",
            )
        self._put(encode_result, key, value, step)

    def progress(
        self,
        current: float,
        total: float | None = None,
        message: str | None = None,
        *,
        bars: Sequence[BarState] | None = None,
    ) -> None:
        """Show how far the run is. Only the newest progress counts. Never raises.

        `bars` are several bars at once, outermost first; the other arguments are the first one's.
        """
        reporter = self._reporter
        if reporter is None or self._ended:
            return
        if not (type(current) is int or type(current) is float):
            amount = as_number(current)
            if amount is None:
                return
            current, total = amount, as_number(total)
        bars = None if bars is None else list(bars)
        self._started(reporter).set_progress(partial(encode_progress, current, total, message, bars))

    def track(
        self,
        items: Iterable[T] | AsyncIterable[T],
        message: str | None = None,
        total: float | None = None,
    ) -> Track[T]:
        """Iterate over `items`, and show the progress.

        The iteration raises `Cancelled` between two items if the run was asked to end.
        """
        return Track(self._tracks, items, message, total)

    def capture(self) -> Capture:
        """Log what is printed to stdout and stderr, until the result is closed or the run ends.

        It is still printed. A progress bar becomes progress, and one log entry when it is done.
        """
        # most scripts do without
        from .capture import Capture

        capture = Capture(self, self._notices)
        self._captures.append(capture)
        return capture

    def record_system(self) -> None:
        """Store the use of the machine every 10 s, as results under `system/`, until the run ends.

        Needs the extra `system`; without it, a notice says so. Never raises.
        """
        if self._reporter is not None and self._system is None and not self._ended:
            from .system_metrics import SystemMetrics

            self._system = SystemMetrics.start(self.result, self._notices, self._limits)

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to end. Known within half a second if it is read regularly."""
        reporter = self._reporter
        return reporter is not None and self._started(reporter).cancel_requested

    def check(self) -> None:
        """Raise `Cancelled` if the run was asked to end."""
        if self.cancelled:
            raise Cancelled(f"run {self.id} was asked to end")

    # ending

    def finish(self) -> None:
        """End the run as completed, once everything is delivered or kept for `athanor sync`.

        In a process that joined a run, its reports are delivered and the run goes on. Never raises
        because of the network; waits for `finish_timeout` seconds at most.
        """
        self._end(End(end="completed"))

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the run as failed; an exception is shown with its traceback. See `finish`."""
        if isinstance(error, BaseException):
            error = "".join(traceback.format_exception(error)).rstrip()
        # the end of a long traceback says more
        text = None if error is None else str(error)[-MAX_ERROR:]
        self._end(End(end="failed", error=text))

    def cancel(self) -> None:
        """End the run as cancelled. See `finish`."""
        self._end(End(end="cancelled"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # a script without asyncio has no such error, and need not wait for its import
        of_task: Any = getattr(sys.modules.get("asyncio"), "CancelledError", Cancelled)
        if isinstance(error, (Cancelled, KeyboardInterrupt, GeneratorExit, of_task)):
            self.cancel()
        elif error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.cancel() if self._was_asked_to_end else self.finish()
        elif isinstance(error, SystemExit):
            self.fail(f"exit code {error.code}")
        else:
            self.fail(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.shield(asyncio.to_thread(self.__exit__, type_, error, trace))

    # internals

    def _describe(self, **fields: Any) -> None:
        """Change fields of the metadata, here and at the service."""
        # a spool that is made from now on holds the new ones
        self._registration.metadata.update(fields)
        self._put(encode_update, plain(fields))

    def _change(self, field: str, changes: dict[str, Any]) -> None:
        """Change parts of one field of the metadata, without secrets."""
        self._put(encode_update, {field: hidden_fields(plain(changes))})

    @property
    def _was_asked_to_end(self) -> bool:
        return self._reporter is not None and self._reporter.cancel_requested

    def _put(self, encode: Callable[..., bytes], *parts: Any) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        if self._ended:
            self._notices.show("late", f"run {self.id} has ended; what is reported now is left out")
            return
        if not reporter.is_started:
            self._started(reporter)
        reporter.put(encode(*parts))

    def _started(self, reporter: Reporter) -> Reporter:
        """`reporter`, started: in a forked process its first report starts it."""
        if not reporter.is_started:
            process.call_at_end_of_worker(self, self._on_exit)
            if self._settings.signals:
                process.handle_signals()
            reporter.start()
        return reporter

    def _end(self, end: End, timeout: float | None = None) -> None:
        """End the run, once: a call that comes meanwhile, from a signal handler too, returns."""
        if not self._ending.acquire(blocking=False):
            return
        if is_own_thread():
            # a destructor that the garbage collector runs in the client's own thread
            threading.Thread(target=self._close, args=(end, timeout), name="end-of-run").start()
        else:
            self._close(end, timeout)

    def _close(self, end: End, timeout: float | None) -> None:
        for capture in self._captures:
            capture.close()
        if self._reporter is not None and end.end == "failed" and self._registration.member:
            self._put(encode_log, end.error or "failed", "error", {"pid": os.getpid()})
        if self._system is not None:
            self._system.stop()
        self._ended = True
        process.unregister(self)
        if self._reporter is not None:
            own_end = None if self._registration.member else end
            seconds = self._settings.finish_timeout
            self._reporter.close(own_end, seconds if timeout is None else min(seconds, timeout))

    def _on_exit(self) -> None:
        """The process ends, and the script did not end the run."""
        error = last_error()
        self.__exit__(None if error is None else type(error), error, None)

    def _on_signal(self, name: str, timeout: float) -> None:
        """A signal ends the process. A member leaves it to the process that began the run."""
        if self._registration.member:
            self._end(End(end="completed"), timeout)
        else:
            self._end(End(end="failed", error=f"killed by {name}"), timeout)

    def _on_fork(self) -> None:
        """In a forked process: become a member of the run, without the parent's entries."""
        self._ending = threading.Lock()
        # its thread is the parent's
        self._system = None
        if self._reporter is None or self._ended:
            return
        self._reporter.abandon()
        self._registration = msgspec.structs.replace(self._registration, member=True, producer=new_id())
        self._reporter = Reporter(
            self._registration,
            self._settings,
            self._limits,
            self._notices,
            self._reporter.has_answered,
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle for a spawned process, which becomes a member of the run."""
        return _joined, (self._registration, self._settings, self._limits)


def _joined(registration: Registration, settings: ClientSettings, limits: ClientLimits) -> Run:
    for run in process.newest_first():
        if isinstance(run, Run) and run.id == registration.run_id:
            return run
    return Run(msgspec.structs.replace(registration, member=True, producer=new_id()), settings, limits)
