"""Pages: bounded parts of what is stored, and the filter for entries."""

from __future__ import annotations

from typing import Generic, Literal, NamedTuple, TypeVar

T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Some records, newest first. `cursor` is the position in the event log at which they were read.

    `before` is the position of the next page, None on the last one.
    """

    items: list[T]
    cursor: str
    before: int | None


class EntryFilter(NamedTuple):
    """Which entries of a run: `after < seq < before`, one of `labels`, `text` in what one sees.

    A label is the level of a log entry, or the key of a result. One sees the message and the
    metadata (`protocol/sought.py`). `stream` is the metadata's field of that name, as captured output
    has it. With `before` alone, the last entries before it are meant; else the first ones after
    `after`.
    """

    type: Literal["run_log", "run_result"]
    after: int | None = None
    before: int | None = None
    labels: tuple[str, ...] = ()
    text: str = ""
    stream: str = ""

    @property
    def is_search(self) -> bool:
        """Whether no index finds the entries, so that all of them may have to be read."""
        return bool(self.text or self.stream)

    @property
    def is_backwards(self) -> bool:
        return self.before is not None and self.after is None


class EntryPage(NamedTuple):
    """Some entries in order of `seq`, each as JSON.

    `first` and `last` are the `seq` at the edges of what was read (None if that is nothing), `total`
    counts all entries that match, `more` tells whether further ones follow, and `cursor` is the
    position in the event log at which they were read.

    A search reads for a bounded time: its page may be short or empty although more follow. Its
    `total` counts the entries between `after` and `before`, and is None unless it read all of them.
    """

    first: int | None
    last: int | None
    items: list[bytes]
    total: int | None
    more: bool
    cursor: str = ""
