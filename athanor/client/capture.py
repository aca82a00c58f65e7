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
from typing import Any, Self, TextIO

from .log_filter import is_own_thread
from .notices import Notices
from .output.recorder import OutputRecorder, Reports

LOCK_TIMEOUT = 1.0
"""Seconds that a thread waits for another one that prints. Then it goes on: a destructor that
prints may have turned the order of two locks round."""
MAX_BEGINNING = 4096
"""Characters of a line's beginning that wait for the rest of the line."""
MAX_THREADS = 1000
"""Threads whose lines may be incomplete at the same time."""


class Capture:
    """Captures `sys.stdout` and `sys.stderr` of this process until `close`.

    Log entries from stderr have the metadata `stream: stderr`. Output of subprocesses and C
    libraries is not captured; `athanor run` captures that as well.
    """

    def __init__(self, run: Reports, notices: Notices) -> None:
        self.run = run
        self.notices = notices
        self._tees = [_Tee(self, "stdout"), _Tee(self, "stderr")]

    def close(self) -> None:
        for tee in self._tees:
            tee.close_tee()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


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
        self._writing = threading.RLock()
        self._is_held = False
        self._recorder = OutputRecorder(self._capture.run, self._name, self._capture.notices)
        self._pending: deque[tuple[int, str]] = deque()
        self._unfinished: dict[int, str] = {}
        """By thread, the beginning of a line."""
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
                self._pending.append((threading.get_ident(), text))
                self._read_pending()

    def _read_pending(self) -> None:
        """Read what was written, in order, in one thread at a time.

        Nobody waits for the lock. A thread, or a signal handler, that finds it taken leaves its text
        to the one that has it.
        """
        while self._pending and self._lock.acquire(blocking=False):
            try:
                self._read_all()
            finally:
                self._lock.release()

    def _read_all(self) -> None:
        """Read lines as one thread wrote them: `print` writes a line and its end separately."""
        while self._pending:
            # an error in this client must not reach the code that prints
            with contextlib.suppress(Exception):
                thread, text = self._pending.popleft()
                text = self._unfinished.pop(thread, "") + text
                if _is_beginning(text) and len(self._unfinished) < MAX_THREADS:
                    self._unfinished[thread] = text
                else:
                    self._recorder.feed(text)

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
            self._read_all()
            with contextlib.suppress(Exception):
                for text in self._unfinished.values():
                    self._recorder.feed(text)
                self._recorder.close()
        # another replacement may stand over this one
        if getattr(sys, self._name) is self:
            setattr(sys, self._name, self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(_NO_STREAM if self._stream is None else self._stream, name)


def _is_beginning(text: str) -> bool:
    """Whether the text is the beginning of a line, and draws nothing."""
    return len(text) < MAX_BEGINNING and text.isprintable()


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
