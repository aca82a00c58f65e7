"""The origin of a run: metadata about the process that begins it."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any


def origin() -> dict[str, Any]:
    """Host, process id, Python version and script; no arguments, for they may hold secrets."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "script": sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else None,
    }
