"""Entries of one run as one text: SQL joins them, so that a replay costs no Python for each line."""

from __future__ import annotations

from functools import cached_property, lru_cache

from ..config import Limits
from ..protocol.events import StoredEvent
from ..protocol.selection import Selection
from .schema import among_types
from .session import Session

TYPES = {"l": "run_log", "r": "run_result"}
"""The types of entries, by their codes."""


class EntryText:
    """Neighbouring entries of a run in the order of their numbers; `codes` has a letter for each.

    `data` has their JSON, a line each.
    """

    def __init__(self, run_id: str, codes: str, numbers: str, data: bytes) -> None:
        self.run_id = run_id
        self.codes = codes
        self.data = data
        self.types = frozenset(map(TYPES.__getitem__, set(codes)))
        self._numbers = numbers

    @cached_property
    def numbers(self) -> range | list[int]:
        """The number of each entry."""
        first, last = int(self._numbers.partition(",")[0]), int(self._numbers.rpartition(",")[2])
        if last - first + 1 == len(self.codes):
            # nothing else was written in between
            return range(first, last + 1)
        return list(map(int, self._numbers.split(",")))

    @cached_property
    def lines(self) -> list[bytes]:
        """The JSON of each entry."""
        return self.data.split(b"\n")

    @cached_property
    def rows(self) -> list[StoredEvent]:
        return [
            StoredEvent(n, TYPES[code], None, self.run_id, None, None, data)
            for n, code, data in zip(self.numbers, self.codes, self.lines, strict=True)
        ]


async def entry_text(
    session: Session, selection: Selection, after: int, upto: int, limits: Limits
) -> EntryText | None:
    """The first entries with `after < n <= upto` of a run, which is the only topic of the selection.

    None if there are none, or if one of the rows is no entry or has more than `short_entry` bytes.
    """
    (topic,) = selection.topics
    assert topic.id is not None
    params = (limits.short_entry, limits.short_entry, topic.id, after, upto, limits.text_rows)
    sql = _sql(session.dialect.joined, selection.stored_types)
    ((codes, numbers, data),) = await session.execute(sql, params)
    if codes is None or "x" in codes:
        return None
    return EntryText(topic.id, codes, numbers, data.encode())


@lru_cache(64)
def _sql(joined: str, types: frozenset[str] | None) -> str:
    code = "CASE WHEN seq IS NULL OR size > ? THEN 'x' WHEN type = 'run_log' THEN 'l' ELSE 'r' END"
    columns = (("code", ""), ("CAST(n AS TEXT)", ","), ("data", "\n"))
    picked = ", ".join(joined.format(column, f"'{separator}'") for column, separator in columns)
    return f"""
        SELECT {picked} FROM (
            SELECT n, {code} AS code, CASE WHEN size > ? THEN '' ELSE data END AS data
            FROM events WHERE run_id = ?{among_types(types)} AND n > ? AND n <= ? ORDER BY n LIMIT ?
        ) AS page"""
