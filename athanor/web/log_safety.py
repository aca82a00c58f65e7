"""The service's log: what clients and databases wrote in it is made safe to show on a terminal."""

from __future__ import annotations

import logging

from ..protocol.safe_text import one_line, sanitized

_formatter = logging.Formatter()


def make_safe(name: str) -> None:
    """Make what the logger `name` passes to its handlers safe from now on."""
    logging.getLogger(name).addFilter(safe)


def safe(record: logging.LogRecord) -> bool:
    """A filter that gives the record its message on one line of safe text, and with a safe traceback.

    uvicorn's messages with colours are its own; one about a failed start may have several lines.
    """
    if record.exc_info and not record.exc_text:
        # a formatter takes this text where it is there
        record.exc_text = sanitized(_formatter.formatException(record.exc_info))
    if not hasattr(record, "color_message"):
        text = record.getMessage()
        record.msg = one_line(text) if record.name.startswith("athanor") else sanitized(text)
        record.args = ()
    return True
