"""Where a run comes from: what its metadata says of the process that began it."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any


def origin() -> dict[str, Any]:
    """Host, process, Python and script. Not the arguments, which may hold a secret."""
    return {
        "host": platform.node(),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "script": sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else None,
    }
