"""Reading the event log behind a cursor, for any selection, in pages bounded in rows and bytes."""

from __future__ import annotations

from functools import lru_cache

from ..events import StoredEvent
from ..selection import Selection
from ..topics import Topic
from .workers import Session

PAGE_ROWS = 2000
PAGE_BYTES = 256 * 1024
"""About a frame's worth, and at least one row, however large that is."""

_WHERE = {
    "run": "run_id = ?",
    "instance": "instance_id = ? AND type <> 'instance_created'",
    "runs": "instance_id IS NOT NULL AND run_id IS NOT NULL",
    "instances": "instance_id IS NOT NULL AND run_id IS NULL",
}


def _branch(topic: Topic, types: frozenset[str] | None, order: str) -> str:
    wanted = ""
    if types is not None:
        # the types are ours, checked against the vocabulary
        wanted = " AND type IN ({})".format(", ".join(f"'{name}'" for name in sorted(types)))
    return (
        f"SELECT * FROM (SELECT n, size FROM events WHERE {_WHERE[topic.kind]}{wanted} "
        f"AND n > ? AND n <= ? ORDER BY n {order} LIMIT ?)"
    )


@lru_cache(1024)
def _union(selection: Selection, order: str) -> str:
    """The numbers and sizes of a selection's events between two numbers; an event counts once."""
    types = selection.stored_types
    return " UNION ".join(_branch(topic, types, order) for topic in selection.topics)


def _params(selection: Selection, after: int, upto: int, limit: int) -> tuple[str | int, ...]:
    params: list[str | int] = []
    for topic in selection.topics:
        if topic.id is not None:
            params.append(topic.id)
        params += (after, upto, limit)
    return tuple(params)


@lru_cache(1024)
def page_sql(selection: Selection) -> str:
    return f"""
        WITH some AS ({_union(selection, "ASC")} ORDER BY n LIMIT ?),
        measured AS (
            SELECT n, sum(size) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) - size AS before
            FROM some
        )
        SELECT group_concat(
            n || char(9) || type || char(9) || ifnull(instance_id, '') || char(9)
            || ifnull(run_id, '') || char(9) || data,
            char(10)
        )
        FROM (
            SELECT events.* FROM measured JOIN events USING (n) WHERE before < ? ORDER BY n
        )"""


async def page(session: Session, selection: Selection, after: int, upto: int) -> list[StoredEvent]:
    """The first events with `after < n <= upto`; none means there are no more."""
    if after >= upto:
        return []
    params = _params(selection, after, upto, PAGE_ROWS)
    text: str | None = await session.value(page_sql(selection), (*params, PAGE_ROWS, PAGE_BYTES))
    return [] if text is None else [_row(line) for line in text.encode().split(b"\n")]


def _row(line: bytes) -> StoredEvent:
    # JSON has no raw tab and no raw line feed, so both are free to separate with
    n, type_, instance_id, run_id, data = line.split(b"\t", 4)
    return StoredEvent(
        int(n), type_.decode(), instance_id.decode() or None, run_id.decode() or None,
        None, None, data,
    )  # fmt: skip


async def before_tail(session: Session, selection: Selection, count: int, upto: int) -> int:
    """The number behind which the selection's newest `count` events begin."""
    sql = f"SELECT min(n) FROM ({_union(selection, 'DESC')} ORDER BY n DESC LIMIT ?)"
    params = _params(selection, 0, upto, count)
    first: int | None = await session.value(sql, (*params, count))
    return upto if first is None else first - 1


async def oldest(session: Session, selection: Selection) -> int | None:
    """The number of the selection's oldest event that is still there."""
    sql = f"SELECT min(n) FROM ({_union(selection, 'ASC')})"
    number: int | None = await session.value(sql, _params(selection, 0, 2**63 - 1, 1))
    return number
