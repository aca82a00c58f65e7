"""How long the fault tests take, and the seed of what they do.

`ATHANOR_FAULTS=long` runs the long form of each, `ATHANOR_FAULTS=20` twenty rounds.
`ATHANOR_FAULT_SEED` repeats the choices of a test that failed; the times of a machine differ all the
same.
"""

from __future__ import annotations

import os
import random

LENGTH = os.environ.get("ATHANOR_FAULTS", "")
SEED = os.environ.get("ATHANOR_FAULT_SEED") or str(random.randrange(10**9))


def rounds(short: int, long: int) -> int:
    """The number of rounds of a test that has these two."""
    if not LENGTH:
        return short
    return long if LENGTH == "long" else int(LENGTH)
