"""Capture of what a process prints: it appears as before, and becomes log entries too."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from .log_filter import is_own_thread
from .transcript import Bar, Transcript


class Reports(Protocol):
    """The part of a run that a capture needs."""

    def info(self, message: Any, /, **metadata: Any) -> None: ...
    def progress(
        self, current: float, total: float | None = None, message: str | None = None
    ) -> None: ...


class Capture:
    """Captures `sys.stdout` and `sys.stderr` of this process until `close`.

    Log entries from stderr have the metadata `stream: stderr`. Output of subprocesses and C
    libraries is not captured; `athanor run` captures that as well.
    """

    def __init__(self, run: Reports) -> None:
        self._run = run
        self._tees = [_Tee(self, "stdout"), _Tee(self, "stderr")]

    def close(self) -> None:
        for tee in self._tees:
            tee.close_tee()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def take_line(self, stream: str, text: str) -> None:
        if stream == "stderr":
            self._run.info(text, stream=stream)
        else:
            self._run.info(text)

    def take_bar(self, bar: Bar) -> None:
        self._run.progress(bar.current, bar.total, bar.message or None)


class _Tee:
    """Replaces a stream in `sys`, and delegates everything but `write` to it."""

    def __init__(self, capture: Capture, name: str) -> None:
        self._name = name
        self._stream: TextIO = getattr(sys, name)
        self._transcript = Transcript(lambda text: capture.take_line(name, text), capture.take_bar)
        self._lock = threading.RLock()
        self._closed = False
        setattr(sys, name, self)

    def write(self, text: str) -> int:
        written = self._stream.write(text)
        if not self._closed and not is_own_thread():
            # an error in this client must not reach the code that prints
            with self._lock, contextlib.suppress(Exception):
                self._transcript.feed(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def close_tee(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._transcript.close()
        # another replacement may stand over this one
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
