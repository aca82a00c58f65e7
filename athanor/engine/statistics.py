"""Statistics: the numbers of a running engine at one moment, for `/metrics` and for hosts."""

from __future__ import annotations

from typing import NamedTuple


class RelayStatistics(NamedTuple):
    """The numbers of the relay, which only PostgreSQL has."""

    is_listening: bool
    lag: int
    reads: int
    events: int
    reconnects: int


class Statistics(NamedTuple):
    """Counters since the start, unless said otherwise; times in seconds, sizes in bytes."""

    events_stored: dict[str, int]
    """Committed events by type; each entry counts."""
    ring_entries: int
    """In the ring now."""
    ring_bytes: int
    """In the ring now."""
    ring_capacity: int
    ring_max_bytes: int
    subscribers: int
    """Open subscriptions now."""
    newest_event: int
    """The number of the newest event that was broadcast."""
    flushes: int
    flush_seconds: float
    flush_failures: int
    frames: int
    """Frames put into inboxes, without progress."""
    overflows: int
    """Slow subscribers that had to replay from the database."""
    replay_pages: int
    backlog_bytes: int
    """That wait for clients now: in inboxes, responses and the buffers of connections."""
    progress_published: int
    relay: RelayStatistics | None
