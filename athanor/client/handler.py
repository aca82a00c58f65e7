"""Python's own logging into a run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from .run import Run, current
from .silence import is_own_thread


class LoggingHandler(logging.Handler):
    """Records become lines of `run`, or of whichever run was begun last and goes on.

    logging.getLogger().addHandler(athanor.LoggingHandler())

    The logger's name, and what was given as `extra`, is their metadata. Formatted by the handler's
    formatter; without one, as the message, and its traceback.
    """

    def __init__(self, run: Run | None = None, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if is_own_thread():
            return
        try:
            run = self._run or current()
            if run is not None:
                extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
                run.report(
                    self.format(record),
                    _level(record.levelno),
                    {"logger": record.name, **extra},
                    datetime.fromtimestamp(record.created, UTC),
                )
        except Exception:
            self.handleError(record)


def _level(number: int) -> str:
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    return "warn" if number < logging.ERROR else "error"


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
