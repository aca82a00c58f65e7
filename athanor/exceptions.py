"""The errors that users meet. A bug of Athanor itself is an `assert`.

    AthanorError
    ├── ConfigurationError      a setting has a value that can't be used
    ├── DatabaseInUse           another process uses this SQLite file
    ├── NotStarted              the engine was not started, or has ended
    ├── NotFound                there is no such topic, instance or run
    ├── Conflict                the thing exists already, or its status does not allow this
    │   └── NotRunning          a report for a run that is not running
    ├── InvalidInput            a report, a body or a parameter is invalid
    │   ├── InvalidQuery        a query parameter or a header is invalid
    │   ├── TooLarge            a body, a message or a request is too large
    │   └── UnsupportedType     a body has a media type that can't be read
    ├── RingFull                too much is buffered; try again soon
    ├── TooManySearches         too many searches wait; try again soon
    └── DatabaseUnavailable     the database failed; what was accepted is kept, and tried again
        └── DatabaseLost        its file was removed or replaced; nothing was written

All of them can be imported from `athanor`.
"""

from __future__ import annotations

from typing import TypedDict


class Fault(TypedDict, total=False):
    """One fault of a body: `line` counts from 1, `path` is a JSONPath."""

    line: int
    path: str
    detail: str


class AthanorError(Exception):
    """The base of all errors that Athanor raises."""


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


class _WithReason(Exception):
    """`detail` may be shown to everybody; the message has also the reason.

    A reason is often a database's own message, which may name hosts, users and files.
    """

    def __init__(self, detail: str, reason: str = "") -> None:
        super().__init__(f"{detail}: {reason}" if reason else detail)
        self.detail = detail


class RingFull(AthanorError, _WithReason):
    pass


class TooManySearches(AthanorError):
    pass


class DatabaseUnavailable(AthanorError, _WithReason):
    pass


class DatabaseLost(DatabaseUnavailable):
    pass
