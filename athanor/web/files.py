"""The limit of open files: every connection is one."""

from __future__ import annotations

import contextlib
import resource


def open_files_limit() -> int:
    """How many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 - 1 if soft == resource.RLIM_INFINITY else soft


def raise_open_files_limit() -> None:
    """Raise this process's limit as far as the system allows without privileges."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS has no hard limit, and does not accept that as the soft one
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
