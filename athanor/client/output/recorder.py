"""The recorder of an output: its lines become log entries of a run, and its bars its progress."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from ...protocol.records import Level
from ..notices import Notices
from .bar import Bar
from .tracebacks import Tracebacks
from .transcript import Transcript

LAST_LINES = 50
"""Lines that are kept to say why a program failed."""
SHOWN_LINES = 10
"""Lines of an error, unless it is a traceback."""


class Reports(Protocol):
    """The part of a run that a recorder needs."""

    def report(
        self,
        message: str,
        level: Level = "info",
        metadata: Mapping[str, Any] | None = None,
        at: datetime | None = None,
    ) -> None: ...
    def progress(
        self,
        current: float,
        total: float | None = None,
        message: str | None = None,
        *,
        bars: Sequence[Bar] | None = None,
    ) -> None: ...


class OutputRecorder(Transcript):
    """Records one stream. Entries from stderr have the metadata `stream: stderr`.

    If the output can't be read as a terminal reads it, a notice says so, and its lines are recorded
    as they are.
    """

    def __init__(self, run: Reports, stream: str, notices: Notices) -> None:
        super().__init__(self._record, self._show, self._on_error)
        self._run = run
        self._stream = stream
        self._notices = notices
        self._metadata = {"stream": stream} if stream == "stderr" else None
        self._tracebacks = Tracebacks()
        self._last: deque[tuple[str, bool]] = deque(maxlen=LAST_LINES)

    def last_lines(self) -> str:
        """The end of the output: the last traceback and what follows it, or the last few lines."""
        lines = [line for line, _ in self._last]
        begins = [number for number, (_, begins) in enumerate(self._last) if begins]
        return "\n".join(lines[begins[-1] :] if begins else lines[-SHOWN_LINES:]).strip()

    def _record(self, line: str, at: datetime | None) -> None:
        level = self._tracebacks.level(line)
        self._last.append((line, self._tracebacks.has_begun))
        self._run.report(line, level, self._metadata, at)

    def _show(self, bars: list[Bar]) -> None:
        outer = bars[0]
        several = bars if len(bars) > 1 else None
        self._run.progress(outer.current, outer.total, outer.message or None, bars=several)

    def _on_error(self, error: Exception) -> None:
        self._notices.show(
            "output",
            f"{self._stream} can't be read as a terminal reads it ({error!r}); "
            "its lines are logged as they are",
        )
