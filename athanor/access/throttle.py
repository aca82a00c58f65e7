"""The throttle: wrong credentials of one address are answered ever later."""

from __future__ import annotations

import math
from collections import OrderedDict

from .clients import client_at

FIRST_DELAY, MAX_DELAY = 0.1, 2.0
"""Seconds before the answer to the first wrong credential in a row, and at most."""
FORGET_AFTER = 300.0
"""Seconds without a wrong credential after which an address starts anew."""
MAX_WAITING = 8
"""Answers that wait for one address; further wrong credentials are refused at once."""
MAX_ADDRESSES = 4096


class _Address:
    __slots__ = ("failed_at", "failures", "waiting")

    def __init__(self) -> None:
        self.failures = 0
        self.failed_at = -math.inf
        self.waiting = 0


class Throttle:
    """Counts wrong credentials by address. A right one is never delayed, for it may share the
    address of a proxy with others.
    """

    def __init__(self) -> None:
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def begin(self, address: str, now: float) -> float | None:
        """Count a wrong credential: the seconds to wait before the answer, then call `end`.

        None if too many answers wait for this address.
        """
        key = client_at(address)
        entry = self._addresses.setdefault(key, _Address())
        self._addresses.move_to_end(key)
        while len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        if now - entry.failed_at > FORGET_AFTER:
            entry.failures = 0
        entry.failed_at = now
        entry.failures += 1
        if entry.waiting >= MAX_WAITING:
            return None
        entry.waiting += 1
        return float(min(FIRST_DELAY * 2.0 ** min(entry.failures - 1, 10), MAX_DELAY))

    def end(self, address: str) -> None:
        """The answer is on its way."""
        entry = self._addresses.get(client_at(address))
        if entry is not None:
            entry.waiting = max(0, entry.waiting - 1)
