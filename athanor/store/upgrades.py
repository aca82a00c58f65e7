"""Upgrades: how the tables of an older version become the present ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from . import levels
from .metrics import fold_stored
from .schema import METRICS, in_dialect
from .session import Session

Step = str | Callable[[Session], Awaitable[None]]
"""A part of an upgrade: statements, into which `in_dialect` fills the dialect, or a job in Python."""


class Schema(NamedTuple):
    """A version of the tables, and the upgrades that lead to it.

    `upgrades` has, by version, the steps that make the next version of it, in their order. All of
    them run in the transaction that sets the new version. The database stores it in `meta`.
    """

    version: int
    upgrades: Mapping[int, tuple[Step, ...]]


UPGRADES: dict[int, tuple[Step, ...]] = {
    # version 2 has events that an older Athanor can't read: run_updated, run_deleted
    1: (),
    # version 3 has the metrics of each run, and counts and an index of the levels of its log entries
    2: (METRICS, fold_stored, levels.UPGRADE),
}
SCHEMA = Schema(3, UPGRADES)
"""The tables in `schema.py`."""


async def upgrade(session: Session, schema: Schema, version: int) -> None:
    """Make the present tables of those of `version`, inside `session.preparing()`.

    Raises the error of the database; nothing is changed then.
    """
    for old in range(version, schema.version):
        for step in schema.upgrades[old]:
            if isinstance(step, str):
                await session.script(in_dialect(step, session.dialect))
            else:
                await step(session)
