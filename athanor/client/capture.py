"""Capture of what a process prints: it appears as before, and becomes log entries too."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from .log_filter import is_own_thread
from .transcript import Bar, Transcript

CLOSE_TIMEOUT = 1.0
"""Seconds that the end of a capture waits for a thread that prints."""


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

    def after_fork(self) -> None:
        """In the child of a fork: go on, without what the parent's threads were doing."""
        for tee in self._tees:
            tee.after_fork()

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
    """Replaces a stream in `sys`, and delegates everything but `write` to it.

    Without a console there may be no stream (None). Then what is printed is only captured.
    """

    def __init__(self, capture: Capture, name: str) -> None:
        self._capture = capture
        self._name = name
        self._stream: TextIO | None = getattr(sys, name)
        self._closed = False
        self.after_fork()
        setattr(sys, name, self)

    def after_fork(self) -> None:
        """Begin anew: another thread of the parent may have held the lock, or half a line."""
        name, capture = self._name, self._capture
        self._transcript = Transcript(lambda text: capture.take_line(name, text), capture.take_bar)
        self._pending: deque[str] = deque()
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        try:
            return len(text) if self._stream is None else self._stream.write(text)
        finally:
            if not self._closed and not is_own_thread() and isinstance(text, str):
                self._pending.append(text)
                self._read_pending()

    def _read_pending(self) -> None:
        """Read what was written, in order, in one thread at a time.

        Nobody waits for the lock. A thread, or a signal handler, that finds it taken leaves its text
        to the one that has it.
        """
        while self._pending and self._lock.acquire(blocking=False):
            try:
                while self._pending:
                    # an error in this client must not reach the code that prints
                    with contextlib.suppress(Exception):
                        self._transcript.feed(self._pending.popleft())
            finally:
                self._lock.release()

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    def close_tee(self) -> None:
        if self._closed:
            return
        self._closed = True
        # another thread may be reading; one that hangs is not waited for
        if self._lock.acquire(timeout=CLOSE_TIMEOUT):
            with contextlib.suppress(Exception):
                while self._pending:
                    self._transcript.feed(self._pending.popleft())
                self._transcript.close()
        # another replacement may stand over this one
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(_NO_STREAM if self._stream is None else self._stream, name)


_NO_STREAM = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
"""Answers for a stream that does not exist: its encoding, that it is no terminal, and so on."""
