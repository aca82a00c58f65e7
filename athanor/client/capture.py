"""Capture of what a process prints: it appears as before, and becomes log entries too."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import threading
from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from .log_filter import is_own_thread
from .transcript import Bar, Transcript

LOCK_TIMEOUT = 1.0
"""Seconds that a thread waits for another one that prints. Then it goes on: a destructor that
prints may have turned the order of two locks round."""


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
    """Replaces a stream in `sys`, and delegates everything but `write` to it.

    Without a console there may be no stream (None). Then what is printed is only captured.
    """

    def __init__(self, capture: Capture, name: str) -> None:
        self._capture = capture
        self._name = name
        self._stream: TextIO | None = getattr(sys, name)
        self._closed = False
        self._begin()
        setattr(sys, name, self)
        _tees[self] = None

    def _begin(self) -> None:
        name, capture = self._name, self._capture
        self._writing = threading.RLock()
        self._is_held = False
        self._transcript = Transcript(lambda text: capture.take_line(name, text), capture.take_bar)
        self._pending: deque[str] = deque()
        self._lock = threading.Lock()

    def before_fork(self) -> None:
        """Wait until no other thread is inside the stream, whose own lock a child would inherit.

        CPython renews that lock only for a stream that stands in `sys` itself.
        """
        self._is_held = self._writing.acquire(timeout=LOCK_TIMEOUT)

    def after_fork(self, in_child: bool) -> None:
        if in_child:
            # another thread of the parent may have held a lock, or written half a line
            self._begin()
        elif self._is_held:
            self._is_held = False
            self._writing.release()

    def write(self, text: str) -> int:
        held = self._stream is not None and self._writing.acquire(timeout=LOCK_TIMEOUT)
        try:
            return len(text) if self._stream is None else self._stream.write(text)
        finally:
            if held:
                self._writing.release()
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
            held = self._writing.acquire(timeout=LOCK_TIMEOUT)
            try:
                self._stream.flush()
            finally:
                if held:
                    self._writing.release()

    def close_tee(self) -> None:
        if self._closed:
            return
        self._closed = True
        _tees.pop(self, None)
        # another thread may be reading; one that hangs is not waited for
        if self._lock.acquire(timeout=LOCK_TIMEOUT):
            with contextlib.suppress(Exception):
                while self._pending:
                    self._transcript.feed(self._pending.popleft())
                self._transcript.close()
        # another replacement may stand over this one
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(_NO_STREAM if self._stream is None else self._stream, name)


_tees: dict[_Tee, None] = {}
"""Those that are not closed."""


def _before_fork() -> None:
    for tee in list(_tees):
        tee.before_fork()


def _after_fork(in_child: bool) -> None:
    for tee in list(_tees):
        tee.after_fork(in_child)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=functools.partial(_after_fork, False),
        after_in_child=functools.partial(_after_fork, True),
    )

_NO_STREAM = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
"""Answers for a stream that does not exist: its encoding, that it is no terminal, and so on."""
