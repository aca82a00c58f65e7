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

    `data` has their JSON, with commas between them.
    """

    def __init__(self, run_id: str, codes: str, numbers: Sequence[int], data: bytes) -> None:
        self.run_id = run_id
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
    """The first `most` entries with `after < n <= upto` of a run, the only topic of the selection.

    None if there are none, or if one of the rows is no entry or has more than `short` bytes.
    """
    (topic,) = selection.topics
    assert topic.id is not None
    sql, numbers_sql = _sql(session.dialect.joined, selection.stored_types)
    begin = (topic.id, after)
    ((last, codes, data),) = await session.execute(
        sql, (short, short, *begin, *begin, upto, most - 1, upto)
    )
    if last is None or b"x" in codes:
        return None
    numbers: Sequence[int] = range(last - len(codes) + 1, last + 1)
    if numbers[0] != after + 1:
        # others wrote in between, or before
        joined = await session.value(numbers_sql, (*begin, last))
        numbers = list(map(int, joined.split(b",")))
    return EntryText(topic.id, codes.decode(), numbers, data)


@lru_cache(64)
def _sql(joined: str, types: frozenset[str] | None) -> tuple[str, str]:
    """The statements that read a text, and the numbers of its entries.

    The rows are picked by a bound on their number, which the index alone gives: they would be copied
    if they came from a subquery with a limit.
    """
    code = "CASE WHEN seq IS NULL OR size > ? THEN 'x' WHEN type = 'run_log' THEN 'l' ELSE 'r' END"
    short = "CASE WHEN size > ? THEN '' ELSE data END"
    picked = f"FROM events WHERE run_id = ?{among_types(types)} AND n > ? AND n <= "
    codes, texts = joined.format(code, "''"), joined.format(short, "','")
    numbers = joined.format("CAST(n AS TEXT)", "','")
    bound = f"coalesce((SELECT n {picked}? ORDER BY n LIMIT 1 OFFSET ?), ?)"
    return f"SELECT max(n), {codes}, {texts} {picked}{bound}", f"SELECT {numbers} {picked}?"
