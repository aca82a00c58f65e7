"""A run as its experiment sees it: report, and end it.

    with athanor.init("digits", name="baseline", config={"lr": 3e-4}) as run:
        run.log("loading")
        run.log({"loss": 0.31, "accuracy": 0.94}, step=10)
        for batch in run.track(loader, "train"):
            ...

Nothing here waits for the network, or raises because of it; what the service does not take is kept on
disk (`spool`). Ending a run waits, for `finish_timeout` seconds at most.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sys
import threading
import traceback
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from ..exceptions import AthanorError
from ..protocol.records import new_id
from . import process
from .capture import Capture
from .delivery.reporter import Reporter
from .delivery.spool import End, Registration
from .encode import log_line, plain, progress_body, result_line
from .notices import Notices
from .settings import ClientSettings, without_login
from .track import Track, Tracks

T = TypeVar("T")

MAX_ERROR = 64 * 1024
"""Characters of an error; of a longer traceback its end says more."""


class Cancelled(AthanorError):
    """The run was asked to end; raised by `Run.track` and `Run.check`."""


class Run:
    """One run, in this process. Made by `init`; all methods may be called from any thread."""

    def __init__(self, registration: Registration, settings: ClientSettings) -> None:
        self._settings = settings
        self._registration = registration
        self._notices = Notices()
        self._reporter: Reporter | None = None
        if settings.mode != "disabled":
            self._reporter = Reporter(registration, settings, self._notices)
        self._tracks = Tracks(self.progress, self.check)
        self._captures: list[Capture] = []
        self._lock = threading.Lock()
        self._ended = False
        if self._reporter is not None:
            process.enter(self, self._leave, self._fork)

    @classmethod
    def begin(cls, registration: Registration, settings: ClientSettings) -> Run:
        """A run that is registered in the background, now."""
        run = cls(registration, settings)
        if run._reporter is not None:
            run._reporter.start()
        return run

    @property
    def id(self) -> str:
        return self._registration.run_id

    @property
    def url(self) -> str:
        """Where a browser shows it."""
        return f"{without_login(self._settings.url)}/#/runs/{self.id}"

    def __repr__(self) -> str:
        return f"<athanor.Run {self.id} of {self._registration.instance!r}: {self.url}>"

    # reporting

    def log(self, message: Any, /, level: str = "info", *, step: Any = None, **metadata: Any) -> None:
        """A line of the log; of a dict, each item becomes a result, at `step`."""
        if isinstance(message, Mapping):
            for key, value in message.items():
                self.result(key, value, step)
            return
        if step is not None:
            metadata["step"] = step
        self._put(log_line, message, level, metadata)

    def report(
        self,
        message: str,
        level: str = "info",
        metadata: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> None:
        """A line of the log, for whoever brings the time when it was written."""
        self._put(log_line, message, level, metadata, at)

    def debug(self, message: Any, /, **metadata: Any) -> None:
        self._put(log_line, message, "debug", metadata)

    def info(self, message: Any, /, **metadata: Any) -> None:
        self._put(log_line, message, "info", metadata)

    def warning(self, message: Any, /, **metadata: Any) -> None:
        self._put(log_line, message, "warn", metadata)

    def error(self, message: Any, /, **metadata: Any) -> None:
        self._put(log_line, message, "error", metadata)

    def result(self, key: str, value: Any, step: int | None = None) -> None:
        """Anything that has a JSON, under a key; numbers of one key make a curve over `step`."""
        self._put(result_line, key, value, step)

    def progress(self, current: float, total: float | None = None, message: str | None = None) -> None:
        """How far the run is; only the newest counts, and it is not stored."""
        reporter = self._reporter
        if reporter is None or self._ended:
            return
        if not (type(current) is int or type(current) is float):
            current, total = plain(current), plain(total)
        self._live(reporter).show(functools.partial(progress_body, current, total, message))

    def track(
        self,
        items: Iterable[T] | AsyncIterable[T],
        message: str | None = None,
        total: float | None = None,
    ) -> Track[T]:
        """Loop over `items` with a bar; raises `Cancelled` between two of them once that was asked."""
        return Track(self._tracks, items, message, total)

    def capture(self) -> Capture:
        """What is printed, to stdout and stderr, is also a line of the log; until closed, or the end.

        A bar that is drawn over and over becomes progress, and one line when it is done.
        """
        capture = Capture(self)
        self._captures.append(capture)
        return capture

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the run to end; who looks often knows it within half a second."""
        reporter = self._reporter
        return reporter is not None and self._live(reporter).cancel_requested

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked the run to end."""
        if self.cancelled:
            raise Cancelled(f"run {self.id} was asked to end")

    # ending

    def finish(self) -> None:
        """The run is completed. Waits until everything is delivered, or kept for `athanor sync`.

        In a process that joined a run: what it reported is delivered, and the run goes on.
        """
        self._end(End(end="completed"))

    def fail(self, error: BaseException | str | None = None) -> None:
        """The run has failed; of an exception, with its traceback."""
        if isinstance(error, BaseException):
            error = "".join(traceback.format_exception(error)).rstrip()
        text = None if error is None else str(error)[-MAX_ERROR:]
        self._end(End(end="failed", error=text))

    def cancel(self) -> None:
        """The run has ended before its time, as it was asked to."""
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

    # the inside

    @property
    def _was_asked_to_end(self) -> bool:
        return self._reporter is not None and self._reporter.cancel_requested

    def _put(self, encode: Callable[..., bytes], *parts: Any) -> None:
        reporter = self._reporter
        if reporter is None:
            return
        if self._ended:
            self._notices.say("late", f"run {self.id} has ended; what is reported now is left out")
            return
        if not reporter.is_started:
            self._live(reporter)
        reporter.put(encode(*parts))

    def _live(self, reporter: Reporter) -> Reporter:
        """Started, which in a forked process is left to the first thing it reports."""
        if not reporter.is_started:
            process.at_end_of_child(self, self._leave)
            reporter.start()
        return reporter

    def _end(self, end: End) -> None:
        with self._lock:
            if self._ended:
                return
            for capture in self._captures:
                capture.close()
            if self._reporter is not None and end.end == "failed" and self._registration.member:
                self._put(log_line, end.error or "failed", "error", {"pid": os.getpid()})
            self._ended = True
        process.leave(self)
        if self._reporter is not None:
            said = None if self._registration.member else end
            self._reporter.close(said, self._settings.finish_timeout)

    def _leave(self) -> None:
        """The process ends, and nobody ended the run."""
        error = getattr(sys, "last_value", None)
        if error is None or hasattr(sys, "ps1"):  # at a prompt, errors come and go
            self.__exit__(None, None, None)
        else:
            self.__exit__(type(error), error, None)

    def _fork(self) -> None:
        """In a forked process: the same run, as a member, with nothing of what the parent has in hand."""
        self._lock = threading.Lock()
        self._captures = []
        self._notices.after_fork()
        if self._reporter is None or self._ended:
            return
        self._reporter.abandon()
        self._registration = msgspec.structs.replace(self._registration, member=True, producer=new_id())
        self._reporter = Reporter(
            self._registration, self._settings, self._notices, self._reporter.has_answered
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """For a process that is spawned: there it is the same run, as a member."""
        return _joined, (self._registration, self._settings)


def current() -> Run | None:
    """The run that was begun last in this process and has not ended."""
    return next((run for run in process.newest_first() if isinstance(run, Run)), None)


def _joined(registration: Registration, settings: ClientSettings) -> Run:
    for run in process.newest_first():
        if isinstance(run, Run) and run.id == registration.run_id:
            return run
    return Run(msgspec.structs.replace(registration, member=True, producer=new_id()), settings)
