"""A tee: copies a program's output to its usual target and into a run's log."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading

from ..client.run import Run
from ..client.transcript import Bar, Transcript

CHUNK = 64 * 1024
"""Bytes per read."""


class Tee(threading.Thread):
    """A thread that reads `source` to its end and copies the same bytes to `target`, if given.

    Lines become log entries; with a `stream`, their metadata names it. Bars become progress.
    """

    def __init__(self, run: Run, source: int, target: int | None, stream: str | None = None) -> None:
        super().__init__(name=f"tee-{source}", daemon=True)
        self._run = run
        self._source, self._target = source, target
        self._metadata = {} if stream is None else {"stream": stream}
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._transcript = Transcript(self._take_line, self._take_bar)
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
                    self._transcript.feed(self._decoder.decode(data))
        self.close()

    def close(self) -> None:
        """End the log with what has been read so far; later output is not logged."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._transcript.feed(self._decoder.decode(b"", final=True))
                self._transcript.close()

    def _copy(self, data: bytes) -> None:
        """Write to `target`; if its reader has gone (`| head`), the run goes on without it."""
        try:
            while self._target is not None and data:
                data = data[os.write(self._target, data) :]
        except OSError:
            self._target = None

    def _take_line(self, text: str) -> None:
        self._run.report(text, metadata=self._metadata)

    def _take_bar(self, bar: Bar) -> None:
        self._run.progress(bar.current, bar.total, bar.message or None)
