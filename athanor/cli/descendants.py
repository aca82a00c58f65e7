"""A process and what it has started, for Ctrl-C reaches all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def with_descendants(pid: int) -> Iterator[int]:
    """Parents first; only the process itself where there is no `/proc` that tells (as on macOS)."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from with_descendants(int(child))
