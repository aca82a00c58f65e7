"""The cost of a delivered line as subscribers, selections and the log grow."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from tests.support.service import new_run

from . import servers
from .frames import deliver
from .harness import Figures, service_alone
from .measurement import Measurement, Party, Scale, Target, Turn, middle
from .replay import fill, replay

LINES = 20
COST = "CPU µs per delivered line"
LARGEST = 10_000_000
FREE = 10 * 1024**3
"""Bytes of disk without which the largest log is left out."""
KEPT = 1.2
"""Seconds after which a page of a replay is not kept for other readers any more."""


def to_subscribers(count: int, posts: int) -> Figures:
    """Frames of 20 lines to so many subscribers."""
    figures = deliver(servers.athanor(), count, (LINES,), posts)
    return {COST: figures[f"CPU µs per frame of {LINES}"] / LINES}


def to_selections(distinct: int, readers: int, posts: int) -> Figures:
    """Frames of 20 lines to readers of so many selections; each has the busy run and another."""
    figures = deliver(servers.athanor(also=distinct), readers, (LINES,), posts)
    return {COST: figures[f"CPU µs per frame of {LINES}"] / LINES}


def from_log(lines: int) -> Figures:
    """Replays of a whole log of so many lines; the median of three if they are short."""
    with service_alone() as service:
        run = new_run(service.client())
        fill(service, run, lines)
        costs = []
        for _ in range(3 if lines <= 100_000 else 1):
            time.sleep(KEPT)
            costs.append(1e6 / replay(service, run, lines)["lines per CPU second"])
        return {COST: middle(costs)}


class Once:
    """Measures in the first repeat only: to fill the largest log takes minutes."""

    def __init__(self) -> None:
        self._figures: Figures | None = None

    def __call__(self) -> Figures:
        if self._figures is None:
            self._figures = from_log(LARGEST)
        return self._figures


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    posts, readers = scale.of(20, 5), scale.of(1000, 200)
    found: dict[str, Party] = {}
    for count in (10, 100, 1000, *([] if scale.quick else [10_000])):
        turn = partial(to_subscribers, count, max(posts, 2000 // count))
        found[f"Athanor, subscribers: {count:,}"] = turn
    for count in (1, 10, 100, readers):
        found[f"Athanor, selections: {count:,}"] = partial(to_selections, count, readers, posts)
    for count in (1000, 10_000, 100_000, *([] if scale.quick else [1_000_000])):
        found[f"Athanor, lines of the log: {count:,}"] = partial(from_log, count)
    enough = shutil.disk_usage(tempfile.gettempdir()).free >= FREE
    largest: Party = Once() if enough else "less than 10 GiB are free for it"
    found[f"Athanor, lines of the log: {LARGEST:,}"] = "not with --quick" if scale.quick else largest
    yield found


def _growth(what: str) -> Target:
    def largest_ratio(turn: Turn) -> float:
        """Of a cost to that of a smaller size."""
        costs = sorted(
            (int(re.sub(r"\D", "", name)), figures[COST])
            for name, figures in turn.items()
            if f", {what}: " in name
        )
        return max(
            later / earlier for at, (_, earlier) in enumerate(costs) for _, later in costs[at + 1 :]
        )

    return Target(f"growth of a line's cost with {what}, times", largest_ratio, most=1.5)


MEASUREMENT = Measurement(
    name="growth",
    title="Growth",
    text=(
        "CPU of the service for each delivered line: in frames of 20 to more and more subscribers; to "
        "1,000 subscribers of more and more selections, each with the busy run and a run of its own; "
        "and in replays of longer and longer logs, from their beginning. The log of 10,000,000 lines is "
        "measured once. The growth is the largest ratio of a cost to the cost at a smaller size, so "
        "costs that fall count as 1 or less."
    ),
    parties=parties,
    targets=[_growth(what) for what in ("subscribers", "selections", "lines of the log")],
    plotted=[COST],
)
