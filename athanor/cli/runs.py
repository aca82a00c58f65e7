"""`athanor runs`: list runs, newest first."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise, takewhile, zip_longest
from typing import get_args

import click
import msgspec

from ..protocol.records import RunState, Status
from .service import Service, Trouble, name_of, orderly, url_option
from .terminal import STATUS_COLOURS, Screen, duration, fit, sanitized, seconds_between, width_of

SHORTEST = 8
"""The least number of an id's characters to show; more are shown where ids share a prefix."""
WIDEST = 32
"""Columns of a cell at most."""


@click.command("runs")
@click.option("--instance", "-i", help="Only runs of the instance with this name or id.")
@click.option("--status", "-s", type=click.Choice(get_args(Status)), help="Only runs with this status.")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print each run as a JSON object, one per line.")
@url_option
@orderly
def command(instance: str | None, status: Status | None, limit: int, as_json: bool, url: str) -> None:
    """List runs, newest first.

    \b
    athanor runs                                 the newest 20
    athanor runs --status running
    athanor runs -i digits -n 1000 --json | jq -r .id

    `tail`, `cancel` and `export` accept the prefix of an id that is shown here.
    """
    screen = Screen()
    with Service(url) as service:
        of = None if instance is None else _id_of(service, instance)
        found = service.runs(limit, status, of)
        if as_json:
            for run in found:
                screen.write(run.decode())
        else:
            runs = [msgspec.json.decode(run, type=RunState) for run in found]
            _show(screen, runs, url)
    screen.flush()


def _id_of(service: Service, instance: str) -> str:
    for found in service.instances(name=instance):
        return found.id
    for found in service.instances():
        if found.id == instance:
            return found.id
    raise Trouble(f"there is no instance {instance[:100]!r} at {service.url}; `athanor runs` lists them")


def _show(screen: Screen, runs: list[RunState], url: str) -> None:
    if not runs:
        screen.write_notice(f"there are no such runs at {url}")
        return
    ids = _short_ids([run.id for run in runs])
    rows = [
        (id, run.instance_id, name_of(run), _status(run), _began(run), _took(run), _lines(run))
        for id, run in zip(ids, runs, strict=True)
    ]
    rows.insert(0, ("run", "of", "name", "status", "began", "took", "lines"))
    table = [tuple(fit(" ".join(sanitized(cell).split()), WIDEST) for cell in row) for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    for number, (row, run) in enumerate(zip_longest(table, [None, *runs])):
        cells = [cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = " " * (widths[-1] - width_of(row[-1])) + row[-1]
        if run is not None:
            colour = "magenta" if run.stale else STATUS_COLOURS.get(run.status)
            cells[3] = screen.style(cells[3], colour)
        line = "  ".join(cells)
        screen.write(screen.style(line, dim=True) if number == 0 else line)


def _short_ids(ids: list[str]) -> list[str]:
    """The shortest prefixes that differ from each other, `SHORTEST` characters at least."""
    shared = [0] * len(ids)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    for one, other in pairwise(order):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(ids[one], ids[other], strict=False))
        common = len(list(same))
        shared[one], shared[other] = max(shared[one], common), max(shared[other], common)
    return [id[: max(SHORTEST, common + 1)] for id, common in zip(ids, shared, strict=True)]


def _lines(run: RunState) -> str:
    return f"{run.log_count:,}"


def _status(run: RunState) -> str:
    return "running, stale" if run.stale else run.status


def _began(run: RunState) -> str:
    at = datetime.fromisoformat(run.started_at or run.created_at).astimezone()
    today = at.date() == datetime.now().astimezone().date()
    return at.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M")


def _took(run: RunState) -> str:
    return duration(seconds_between(run.started_at, run.completed_at)) if run.started_at else ""
