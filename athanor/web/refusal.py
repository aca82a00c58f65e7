"""Refusals: requests that are not for this service, or not allowed."""

from __future__ import annotations

from ..exceptions import AthanorError
from ..live.refusals import CREDENTIAL


class Refusal(AthanorError):
    """A request that is refused before it reaches the engine.

    `reason` is its label in the metrics. The answer to one that `is_slow` waits (`Throttle`).
    """

    is_slow = False

    def __init__(
        self, status: int, reason: str, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.headers = headers


def unauthenticated(detail: str) -> Refusal:
    """A request without a valid credential.

    It challenges for Bearer only: for Basic, a browser would ask for the login in its own dialog.
    """
    return Refusal(401, CREDENTIAL, detail, {"www-authenticate": 'Bearer realm="athanor"'})


def wrong_credential() -> Refusal:
    """A request whose credential is wrong, which may be a guess."""
    refusal = unauthenticated("this token is wrong or has expired")
    refusal.is_slow = True
    return refusal
