"""The client's limits."""

from __future__ import annotations

import msgspec


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what one process keeps for one run. Entries beyond them are dropped and counted."""

    queue_entries: int = 100_000
    queue_bytes: int = 64 << 20
    queue_patience: float = 1.0
    """Seconds that a caller waits once for room in a full queue; later ones do not wait."""

    batch_bytes: int = 1_000_000
    """Bytes sent in one request: about 10,000 entries, an eighth of the service's largest body."""

    memory_bytes: int = 8 << 20
    """Bytes in memory; more than these go to disk."""
    max_memory_bytes: int = 64 << 20
    """Bytes in memory while the disk takes none."""
    spool_bytes: int = 1 << 30
    """Bytes in a spool."""

    slow_after: float = 1.0
    """Seconds without a response after which entries go to disk: the process may be killed."""
    system_interval: float = 10.0
    """Seconds between two samples of the machine's use."""

    disk_pause: float = 5.0
    """Seconds between two attempts to write to a disk that failed."""
