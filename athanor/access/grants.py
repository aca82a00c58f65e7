"""Grants: the resources that a caller may read and write.

A resource is a topic (`experiments:run:first`), or the path of what has none (`/metrics`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Action = Literal["read", "write"]


class Grant(NamedTuple):
    """Patterns of resources: a name, or a beginning with a `*` at its end."""

    read: tuple[str, ...]
    write: tuple[str, ...]

    def allows(self, action: Action, resource: str) -> bool:
        patterns = self.read if action == "read" else self.write
        return "*" in patterns or any(_matches(pattern, resource) for pattern in patterns)


EVERYTHING = Grant(("*",), ("*",))
READ_EVERYTHING = Grant(("*",), ())


def _matches(pattern: str, resource: str) -> bool:
    if pattern.endswith("*"):
        return resource.startswith(pattern[:-1])
    return pattern == resource
