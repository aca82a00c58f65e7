"""Permissions: what the sender of one request may do.

resource                        read                            write
experiments:run:{id}            the run, its entries, stream    report, change, delete
experiments:instance:{id}       the instance, its runs' life*   change, delete, create runs
experiments:instances, …:runs   lists and streams, filtered     nothing
/metrics, /openapi.json         the document                    nothing

* and their progress
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Scope

from ..access.caller import ANYONE, Caller
from ..access.grants import Action
from ..live.refusals import PERMISSION
from ..protocol.topics import INSTANCE_PREFIX, INSTANCES, RUN_PREFIX, RUNS
from .refusal import Refusal, unauthenticated

Authorize = Callable[[Scope, Action, str], Awaitable[bool]]
"""A host's decision: whether the sender of a request may read, or write, a resource."""

LOGIN = "a token is needed: send it as Authorization: Bearer, or log in on the page"

MAX_LIFETIME = 30 * 24 * 3600.0
"""Seconds after which a stream of a JWT that is valid for longer ends, to be resumed."""

WIDE = frozenset({INSTANCES, RUNS})
"""Topics of all instances and all runs: a caller sees those of their events that it may read."""


class Permission:
    """Decides by the caller's grant, or by the host's `authorize`, which replaces it."""

    __slots__ = ("_authorize", "_scope", "caller")

    def __init__(
        self, caller: Caller | None, authorize: Authorize | None = None, scope: Scope | None = None
    ) -> None:
        self.caller = ANYONE if authorize is not None else caller
        self._authorize = authorize
        # the scope has the permission too: a cycle, which only a host's function is worth
        self._scope = None if authorize is None else scope

    @property
    def lifetime(self) -> float | None:
        """Seconds until the credential ends; None: it ends with the service's settings."""
        if self.caller is None or self.caller.expires_at is None:
            return None
        return min(max(0.0, self.caller.expires_at - time.time()), MAX_LIFETIME)

    async def require(self, action: Action, resource: str) -> None:
        """Raises `Refusal` if the caller may not do this."""
        if self.caller is None:
            raise unauthenticated(LOGIN)
        if not await self._allows(action, resource):
            raise Refusal(403, PERMISSION, f"this credential does not allow to {action} {resource}")

    async def require_open(self, topic: str) -> None:
        """The same for a stream or a list. A grant of any topic opens the wide ones, filtered."""
        is_filtered = topic in WIDE and self._authorize is None
        if not (is_filtered and self.caller is not None and self.caller.grant.read):
            await self.require("read", topic)

    def sees_all(self, topic: str) -> bool:
        """Whether nothing of a topic or list needs a filter."""
        if topic not in WIDE:
            return True
        return (
            self._authorize is None
            and self.caller is not None
            and self.caller.grant.allows("read", topic)
        )

    async def sees_run(self, run_id: str, instance_id: str | None) -> bool:
        """Whether the caller may read a run, or all runs of its instance."""
        if await self._allows("read", f"{RUN_PREFIX}{run_id}"):
            return True
        return instance_id is not None and await self.sees_instance(instance_id)

    async def sees_instance(self, instance_id: str) -> bool:
        return await self._allows("read", f"{INSTANCE_PREFIX}{instance_id}")

    async def _allows(self, action: Action, resource: str) -> bool:
        if self._authorize is not None:
            return bool(await self._authorize(self._scope or {}, action, resource))
        return self.caller is not None and self.caller.grant.allows(action, resource)


def permission_of(request: Request) -> Permission:
    """The permission of a request's sender, which the gate has found out."""
    permission: Any = request.scope["athanor.permission"]
    assert isinstance(permission, Permission)
    return permission
