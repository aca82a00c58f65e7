"""Slices: long work on the event loop, cut so that everything else has its turn in between."""

from __future__ import annotations

import asyncio
import time
from typing import TypeVar

from ..domain.commands import Work

T = TypeVar("T")

SLICE = 0.005
"""Seconds of work between two turns of everything else."""


async def in_slices(work: Work[T]) -> T:
    """Do `work`; returns its outcome, or raises its error."""
    resumed = time.monotonic()
    while True:
        try:
            next(work)
        except StopIteration as end:
            outcome: T = end.value
            return outcome
        if time.monotonic() - resumed > SLICE:
            await asyncio.sleep(0)
            resumed = time.monotonic()
