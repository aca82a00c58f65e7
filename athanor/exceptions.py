"""What can go wrong, said once.

    AthanorError
    ├── ConfigurationError      a setting that can't be used
    ├── DatabaseInUse           another process has this SQLite file
    ├── NotStarted              the engine was not started, or has ended
    ├── NotFound                no such topic, instance or run
    ├── Conflict                it exists already, or its status does not allow it
    │   └── NotRunning          lines or progress for a run that is not running
    ├── InvalidInput            an entry, a body or a parameter that can't be taken
    │   ├── InvalidQuery        … in the query string or a header
    │   ├── TooLarge            … because of its size
    │   └── UnsupportedType     … because of its media type
    ├── RingFull                more is buffered than may be; try again soon
    └── DatabaseUnavailable     the database failed; what is accepted is kept, and tried again

Users meet these; what only we could have done wrong is an `assert`.
"""

from __future__ import annotations

from typing import TypedDict


class Fault(TypedDict, total=False):
    """One thing wrong with a body: `line` counts from 1, `path` is a JSONPath."""

    line: int
    path: str
    detail: str


class AthanorError(Exception):
    """The base of all of them."""


class ConfigurationError(AthanorError):
    pass


class DatabaseInUse(AthanorError):
    pass


class NotStarted(AthanorError):
    pass


class NotFound(AthanorError):
    pass


class Conflict(AthanorError):
    pass


class NotRunning(Conflict):
    pass


class InvalidInput(AthanorError):
    def __init__(self, detail: str, faults: list[Fault] | None = None) -> None:
        super().__init__(detail)
        self.faults = faults or []


class InvalidQuery(InvalidInput):
    pass


class TooLarge(InvalidInput):
    pass


class UnsupportedType(InvalidInput):
    pass


class RingFull(AthanorError):
    pass


class DatabaseUnavailable(AthanorError):
    pass
