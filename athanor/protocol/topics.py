"""Topics: the names under which events are published."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..exceptions import NotFound

INSTANCES = "experiments:instances"
RUNS = "experiments:runs"
INSTANCE_PREFIX = "experiments:instance:"
RUN_PREFIX = "experiments:run:"

# not . and .., which are folders in a URL: clients and proxies resolve them
ID_PATTERN = r"^(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,64}\Z"
_ID = re.compile(ID_PATTERN)


class Topic(NamedTuple):
    """One of the four topics; `kind` is `instances`, `runs`, `instance` or `run`."""

    kind: str
    id: str | None = None

    def __str__(self) -> str:
        if self.kind == "run":
            return f"{RUN_PREFIX}{self.id}"
        if self.kind == "instance":
            return f"{INSTANCE_PREFIX}{self.id}"
        return RUNS if self.kind == "runs" else INSTANCES

    @classmethod
    def parse(cls, text: str) -> Topic:
        """Read a topic's name. Raises `NotFound`, which lists the names that exist."""
        if text == INSTANCES:
            return cls("instances")
        if text == RUNS:
            return cls("runs")
        for kind, prefix in (("instance", INSTANCE_PREFIX), ("run", RUN_PREFIX)):
            if text.startswith(prefix) and is_id(text[len(prefix) :]):
                return cls(kind, text[len(prefix) :])
        raise NotFound(
            f"there is no topic {text[:100]!r}; topics are {INSTANCES}, {RUNS}, "
            f"{INSTANCE_PREFIX}{{id}} and {RUN_PREFIX}{{id}}"
        )


def is_id(text: str) -> bool:
    """Whether `text` can be the id of an instance or a run."""
    return _ID.match(text) is not None
