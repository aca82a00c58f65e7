"""A process and the processes it has started: Ctrl-C in a terminal reaches all of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def with_descendants(pid: int) -> Iterator[int]:
    """The ids of a process and its descendants, parents first; without `/proc` only `pid`."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from with_descendants(int(child))
