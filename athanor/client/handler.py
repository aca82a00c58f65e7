"""A handler that sends the records of Python's `logging` to a run."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ..protocol.records import Level
from .current import current
from .log_filter import is_own_thread
from .run import Run


class LoggingHandler(logging.Handler):
    """Records become log entries of `run`, or of the newest run that has not ended.

        logging.getLogger().addHandler(athanor.LoggingHandler())

    The logger's name and what was given as `extra` are the metadata. The message is what the
    handler's formatter makes; without one, the record's message and its traceback. `level` is that
    of `logging.Handler`.
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


def _level(number: int) -> Level:
    if number < logging.INFO:
        return "debug"
    if number < logging.WARNING:
        return "info"
    return "warn" if number < logging.ERROR else "error"


_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
