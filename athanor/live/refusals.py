"""Refusals: what the service refused or cut off to protect itself, counted by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

CONNECTIONS = "connections"
HEADERS = "headers"
INVALID = "invalid"
HEADER_TIMEOUT = "header_timeout"
BODY_TIMEOUT = "body_timeout"
WRITE_TIMEOUT = "write_timeout"
STREAMS = "streams"
BACKLOG = "backlog"
SILENCE = "silence"
HOST = "host"
ORIGIN = "origin"
BIND = "bind"
CREDENTIAL = "credential"
THROTTLED = "throttled"
PERMISSION = "permission"

REASONS = (
    *(CONNECTIONS, HEADERS, INVALID, HEADER_TIMEOUT, BODY_TIMEOUT, WRITE_TIMEOUT),
    *(STREAMS, BACKLOG, SILENCE),
    *(HOST, ORIGIN, BIND, CREDENTIAL, THROTTLED, PERMISSION),
)


class Refusals:
    """Counts since the process began, for `athanor_refused_total`."""

    def __init__(self) -> None:
        # a rate needs the zero before the first refusal
        self._counts = Counter(dict.fromkeys(REASONS, 0))

    def count(self, reason: str) -> None:
        """Count once more for one of `REASONS`."""
        self._counts[reason] += 1

    @property
    def counts(self) -> Mapping[str, int]:
        return self._counts
