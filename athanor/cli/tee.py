"""A tee: what a program prints goes where it would have gone, and into a run's log."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading

from ..client.run import Run
from ..client.transcript import Bar, Transcript

PIECE = 64 * 1024


class Tee(threading.Thread):
    """Reads `source` to its end, in a thread; `target` gets the same bytes, if it is given.

    Lines of a `stream` that is named say so in their metadata. Bars become progress.
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
        with contextlib.suppress(OSError):  # a pseudo-terminal's end is an error, EIO
            while data := os.read(self._source, PIECE):
                self._pass_on(data)
                with self._lock:
                    if self._closed:
                        return
                    self._transcript.feed(self._decoder.decode(data))
        self.close()

    def close(self) -> None:
        """What has come so far is all that there is."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._transcript.feed(self._decoder.decode(b"", final=True))
                self._transcript.close()

    def _pass_on(self, data: bytes) -> None:
        """Whoever reads may have gone (`| head`); the run goes on."""
        try:
            while self._target is not None and data:
                data = data[os.write(self._target, data) :]
        except OSError:
            self._target = None

    def _take_line(self, text: str) -> None:
        self._run.report(text, metadata=self._metadata)

    def _take_bar(self, bar: Bar) -> None:
        self._run.progress(bar.current, bar.total, bar.message or None)
