"""What a process holds, read from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from ..support.service import Service


def descriptors(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid}/fd").iterdir())


def threads(service: Service) -> int:
    return sum(1 for _ in Path(f"/proc/{service.pid}/task").iterdir())


def memory(service: Service) -> int:
    """Bytes in memory."""
    resident = Path(f"/proc/{service.pid}/statm").read_text().split()[1]
    return int(resident) * os.sysconf("SC_PAGE_SIZE")
