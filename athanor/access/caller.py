"""Callers: who sends a request."""

from __future__ import annotations

from typing import NamedTuple

from .grants import EVERYTHING, Grant


class Caller(NamedTuple):
    """`name` is for the audit log: the kind of a token, or the subject of a JWT.

    The credential ends at `expires_at`, in seconds since 1970; None: with the service's settings.
    """

    name: str
    grant: Grant
    expires_at: float | None = None


ANYONE = Caller("anyone", EVERYTHING)
"""Everybody, where no credential is configured."""
