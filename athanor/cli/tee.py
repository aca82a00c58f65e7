"""A tee: copies a program's output to its usual target and into a run's log."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading

from ..client.notices import Notices
from ..client.output.recorder import OutputRecorder
from ..client.run import Run

CHUNK = 64 * 1024
"""Bytes per read."""


class Tee(threading.Thread):
    """A thread that reads `source` to its end and copies the same bytes to `target`, if given.

    Lines become log entries, and bars progress; those of the `stream` "stderr" are marked.
    """

    def __init__(
        self, run: Run, source: int, target: int | None, notices: Notices, stream: str = "stdout"
    ) -> None:
        super().__init__(name=f"tee-{source}", daemon=True)
        self._source, self._target = source, target
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._recorder = OutputRecorder(run, stream, notices)
        self._lock = threading.Lock()
        self._closed = False

    def run(self) -> None:
        # the end of a pseudo-terminal is reported as an error, EIO
        with contextlib.suppress(OSError):
            while data := os.read(self._source, CHUNK):
                self._copy(data)
                with self._lock:
                    if self._closed:
                        return
                    self._recorder.feed(self._decoder.decode(data))
        self.close()

    def last_lines(self) -> str:
        """The end of the output, to say why the program failed."""
        return self._recorder.last_lines()

    def close(self) -> None:
        """End the log with what has been read so far; later output is not logged."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._recorder.feed(self._decoder.decode(b"", final=True))
                self._recorder.close()

    def _copy(self, data: bytes) -> None:
        """Write to `target`; if its reader has gone (`| head`), the run goes on without it."""
        try:
            while self._target is not None and data:
                data = data[os.write(self._target, data) :]
        except OSError:
            self._target = None
