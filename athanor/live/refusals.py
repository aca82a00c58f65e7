"""Refusals: what the service refused or cut off to protect itself, counted by reason."""

from __future__ import annotations

from collections import Counter


class Refusals:
    """Counts since the process began, for `athanor_refused_total`; a reason is a short noun."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def count(self, reason: str) -> None:
        self.counts[reason] += 1
