"""Replay: the event log after a cursor, for any selection, in pages bounded in rows and bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from ..config import Limits
from ..protocol.events import AFTER_END, StoredEvent
from ..protocol.selection import Selection
from ..protocol.topics import Topic
from .entry_text import EntryText, entry_text
from .schema import among_types
from .session import Session

_WHERE = {
    # what happens to a run after its end is not on its own topic
    "run": f"run_id = ? AND (seq IS NOT NULL OR label IS NULL OR label <> '{AFTER_END}')",
    "instance": "instance_id = ? AND type <> 'instance_created'",
    "runs": "instance_id IS NOT NULL AND run_id IS NOT NULL",
    "instances": "instance_id IS NOT NULL AND run_id IS NULL",
}


def _branch(topic: Topic, types: frozenset[str] | None, order: str) -> str:
    return (
        f"SELECT * FROM (SELECT n, size FROM events WHERE {_WHERE[topic.kind]}{among_types(types)} "
        f"AND n > ? AND n <= ? ORDER BY n {order} LIMIT ?) AS branch"
    )


@lru_cache(1024)
def _union(selection: Selection, order: str) -> str:
    """The numbers and sizes of a selection's events between two numbers, each event once."""
    types = selection.stored_types
    return " UNION ".join(_branch(topic, types, order) for topic in selection.topics)


def _params(selection: Selection, after: int, upto: int, limit: int) -> tuple[str | int, ...]:
    params: list[str | int] = []
    for topic in selection.topics:
        if topic.id is not None:
            params.append(topic.id)
        params += (after, upto, limit)
    return tuple(params)


def _measured(found: str) -> str:
    """The events whose `n` and `size` the statement `found` selects: up to some rows and bytes."""
    return f"""
        SELECT n, type, instance_id, run_id, data FROM (
            SELECT n AS measured_n, sum(size) OVER (ORDER BY n ROWS UNBOUNDED PRECEDING) - size AS before
            FROM ({found} ORDER BY n LIMIT ?) AS found
        ) AS measured JOIN events ON n = measured_n WHERE before < ? ORDER BY n"""


@lru_cache(1024)
def page_sql(selection: Selection) -> str:
    """A page of a selection; its parameters are those of `_params`, then rows and bytes."""
    return _measured(_union(selection, "ASC"))


async def page(
    session: Session, selection: Selection, after: int, upto: int, limits: Limits
) -> tuple[list[StoredEvent], int]:
    """The first events with `after < n <= upto`, and the number up to which they are all."""
    params = _params(selection, after, upto, limits.page_rows)
    rows = await session.events(page_sql(selection), (*params, limits.page_rows, limits.page_bytes))
    return rows, _reach(rows, upto, limits.page_rows, limits.page_bytes)


async def shared_page(
    session: Session, selection: Selection, after: int, upto: int, text_rows: int, limits: Limits
) -> tuple[list[StoredEvent], EntryText | None, int]:
    """As `page`; up to `text_rows` events of a run are read as one text with what stands before it."""
    text = None
    if selection.topics[0].kind == "run" and len(selection.topics) == 1:
        text = await entry_text(session, selection, after, upto, text_rows, limits.short_entry)
    rows: list[StoredEvent] = []
    if text is None or text.lives:
        end = upto if text is None else text.numbers[0] - 1
        rows, reach = await page(session, selection, after, end, limits)
        if text is None or reach < end:
            return rows, None, reach
    return rows, text, text.numbers[-1] if text.lives + len(text.codes) == text_rows else upto


class Few(NamedTuple):
    """The first events of a selection between two numbers; they are all up to `reach`.

    If there are none, none follow up to `quiet` either; else it is 0.
    """

    events: list[StoredEvent]
    reach: int
    quiet: int


async def few(
    session: Session, selection: Selection, after: int, upto: int, end: int, limits: Limits
) -> Few:
    """Events with `after < n <= upto` of a selection that may have none for long, up to `end`."""
    rows, reach = await page(session, selection, after, upto, limits)
    if rows:
        return Few(rows, reach, 0)
    if upto == end:
        return Few([], upto, end)
    sql = f"SELECT min(n) FROM ({_union(selection, 'ASC')}) AS next"
    following: int | None = await session.value(sql, _params(selection, upto, end, 1))
    return Few([], upto, end if following is None else following - 1)


def _reach(rows: list[StoredEvent], upto: int, most_rows: int, most_bytes: int) -> int:
    """The number up to which a page is complete: a full one ends at its last event."""
    full = len(rows) == most_rows or sum(len(row.data) for row in rows) >= most_bytes
    return rows[-1].n if full else upto


async def relay_page(
    session: Session, run_ids: list[str], after: int, upto: int, limits: Limits
) -> tuple[list[StoredEvent], int]:
    """The first events with `after < n <= upto`: all events of lives, and the entries of these runs.

    Also returns the number up to which the page is complete.
    """
    among, params = session.among("run_id", run_ids)
    where = f"n > ? AND n <= ? AND (instance_id IS NOT NULL OR {among})"
    sql = _measured(f"SELECT n, size FROM events WHERE {where}")
    rows = await session.events(sql, (after, upto, *params, limits.relay_rows, limits.relay_bytes))
    return rows, _reach(rows, upto, limits.relay_rows, limits.relay_bytes)


async def before_tail(session: Session, selection: Selection, count: int, upto: int) -> int:
    """The number after which the selection's newest `count` events begin."""
    sql = f"SELECT min(n) FROM ({_union(selection, 'DESC')} ORDER BY n DESC LIMIT ?) AS newest"
    params = _params(selection, 0, upto, count)
    first: int | None = await session.value(sql, (*params, count))
    return upto if first is None else first - 1


async def oldest(session: Session, selection: Selection) -> int | None:
    """The number of the selection's oldest event that still exists; None if there is none."""
    sql = f"SELECT min(n) FROM ({_union(selection, 'ASC')}) AS oldest"
    number: int | None = await session.value(sql, _params(selection, 0, 2**63 - 1, 1))
    return number
