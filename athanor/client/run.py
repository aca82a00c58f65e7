"""A run, as the script that executes it sees it: report, and end it.

    with athanor.init("digits", name="baseline", config={"lr": 3e-4}) as run:
        run.log("loading")
        run.log({"loss": 0.31, "accuracy": 0.94}, step=10)
        for batch in run.track(loader, "train"):
            ...

Reporting never waits for the network, and never raises because of it. What the service does not
take is kept on disk (`spool`). The end of a run waits for `finish_timeout` seconds at most.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import traceback
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from ..exceptions import AthanorError
from ..protocol.records import Level, new_id
from . import process
from .capture import Capture
from .delivery.reporter import Reporter
from .delivery.spool import End, Registration
from .encode import encode_log, encode_progress, encode_result, plain
from .limits import ClientLimits
from .log_filter import is_own_thread
from .notebook import last_error, watch_cells
from .notices import Notices
from .settings import ClientSettings, without_login
from .track import Track, Tracks

T = TypeVar("T")

LogLevel = Level | Literal["warning", "critical", "fatal"]

MAX_ERROR = 64 * 1024
"""Characters of an error. Of a longer traceback the end is kept, which says more."""


class Cancelled(AthanorError):
    """The run was asked to end. Raised by `Run.track` and `Run.check`."""


class Run:
    """One run, in this process. `init` makes it; all methods may be called from any thread."""

    def __init__(
        self, registration: Registration, settings: ClientSettings, limits: ClientLimits
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._registration = registration
        self._notices = Notices()
        self._reporter: Reporter | None = None
        if settings.mode != "disabled":
            self._reporter = Reporter(registration, settings, limits, self._notices)
        self._tracks = Tracks(self.progress, self.check)
        self._captures: list[Capture] = []
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
    ) -> Run:
        """A new run, which is registered in the background at once."""
        run = cls(registration, settings, limits)
        if run._reporter is not None:
            run._started(run._reporter)
            watch_cells()
        return run

    @property
    def id(self) -> str:
        return self._registration.run_id

    @property
    def url(self) -> str:
        """The address of the run's page."""
        return f"{without_login(self._settings.url)}/#/runs/{self.id}"

    def __repr__(self) -> str:
        return f"<athanor.Run {self.id} of {self._registration.instance!r}: {self.url}>"

    # reporting

    def log(
        self, message: Any, /, level: LogLevel = "info", *, step: Any = None, **metadata: Any
    ) -> None:
        """Log a message, with `step` and any other keywords as its metadata. Never raises.

        Of a dict, each item becomes a result at `step` instead.
        """
        if isinstance(message, Mapping):
            for key, value in message.items():
                self.result(key, value, step)
            return
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

    def result(self, key: str, value: Any, step: int | None = None) -> None:
        """Store any JSON under a key; a key's numbers are a curve over `step`. Never raises."""
        self._put(encode_result, key, value, step)

    def progress(self, current: float, total: float | None = None, message: str | None = None) -> None:
        """Show how far the run is. Only the newest progress counts. Never raises."""
        reporter = self._reporter
        if reporter is None or self._ended:
            return
        if not (type(current) is int or type(current) is float):
            current, total = plain(current), plain(total)
        self._started(reporter).set_progress(functools.partial(encode_progress, current, total, message))

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
        capture = Capture(self)
        self._captures.append(capture)
        return capture

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
        if isinstance(error, Cancelled | KeyboardInterrupt | asyncio.CancelledError | GeneratorExit):
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
        await asyncio.shield(asyncio.to_thread(self.__exit__, type_, error, trace))

    # internals

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


def current() -> Run | None:
    """The newest run of this process that has not ended."""
    return next((run for run in process.newest_first() if isinstance(run, Run)), None)


def _joined(registration: Registration, settings: ClientSettings, limits: ClientLimits) -> Run:
    for run in process.newest_first():
        if isinstance(run, Run) and run.id == registration.run_id:
            return run
    return Run(msgspec.structs.replace(registration, member=True, producer=new_id()), settings, limits)
