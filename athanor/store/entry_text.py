"""Entries of one run as one text: SQL joins them, so that a replay costs no Python for each line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import msgspec

from ..protocol.events import StoredEvent
from ..protocol.selection import Selection
from .schema import among_types
from .session import Session

TYPES = {"l": "run_log", "r": "run_result"}
"""The types of entries, by their codes."""

_entries = msgspec.json.Decoder(list[msgspec.Raw]).decode


class EntryText:
    """Neighbouring entries of a run; `codes` has a letter for each, and `numbers` its number.

    `data` has their JSON, with commas between them. `lives` events of lives stand before it.
    """

    def __init__(
        self, run_id: str, codes: str, numbers: Sequence[int], data: bytes, lives: int = 0
    ) -> None:
        self.run_id = run_id
        self.lives = lives
        self.codes = codes
        self.numbers = numbers
        self.data = data
        self.types = frozenset(TYPES[code] for code in TYPES if code in codes)

    @cached_property
    def lines(self) -> list[bytes]:
        """The JSON of each entry."""
        return list(map(bytes, _entries(b"[%b]" % self.data)))

    @cached_property
    def rows(self) -> list[StoredEvent]:
        return [
            StoredEvent(n, TYPES[code], None, self.run_id, None, None, data)
            for n, code, data in zip(self.numbers, self.codes, self.lines, strict=True)
        ]


async def entry_text(
    session: Session, selection: Selection, after: int, upto: int, most: int, short: int
) -> EntryText | None:
    """The entries among the first `most` events with `after < n <= upto` of the selection's only run.

    None if there are none, or if one of them has more than `short` bytes, or is before another event.
    """
    (topic,) = selection.topics
    assert topic.id is not None
    sql, numbers_sql = statements(session.dialect.joined, selection.stored_types)
    begin = (topic.id, after)
    ((last, codes, data),) = await session.execute(
        sql, (short, short, *begin, *begin, upto, most - 1, upto)
    )
    lives = 0 if codes is None else len(codes) - len(codes.lstrip(b"e"))
    if data is None or b"x" in codes or b"e" in codes[lives:]:
        return None
    numbers: Sequence[int] = range(last - len(codes) + 1, last + 1)
    if numbers[0] != after + 1:
        # others wrote in between, or before
        joined = await session.value(numbers_sql, (*begin, last))
        numbers = list(map(int, joined.split(b","))) if joined else []
        if len(numbers) != len(codes):
            # some were deleted meanwhile
            return None
    return EntryText(topic.id, codes[lives:].decode(), numbers[lives:], data, lives)


@lru_cache(64)
def statements(joined: str, types: frozenset[str] | None) -> tuple[str, str]:
    """The statements that read a text, and the numbers of its entries.

    The rows are picked by a bound on their number, which the index alone gives: they would be copied
    if they came from a subquery with a limit.
    """
    code = """
        CASE WHEN seq IS NULL THEN 'e' WHEN size > ? THEN 'x' WHEN type = 'run_log' THEN 'l' ELSE 'r' END
    """
    codes, numbers = joined.format(code, "''", ""), joined.format("CAST(n AS TEXT)", "','", "")
    # a filter, because SQLite copies each text that comes out of a CASE
    texts = joined.format("data", "','", "FILTER (WHERE seq IS NOT NULL AND size <= ?)")
    picked = f"FROM events WHERE run_id = ?{among_types(types)} AND n > ? AND n <= "
    bound = f"coalesce((SELECT n {picked}? ORDER BY n LIMIT 1 OFFSET ?), ?)"
    return f"SELECT max(n), {codes}, {texts} {picked}{bound}", f"SELECT {numbers} {picked}?"
