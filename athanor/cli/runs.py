"""`athanor runs`: list runs, newest first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice, pairwise, takewhile, zip_longest
from typing import cast, get_args

import click
import msgspec

from ..protocol.records import Result, RunState, Status
from ..protocol.safe_text import sanitized
from .service import Service, Trouble, name_of, orderly, url_option
from .terminal import (
    STATUS_COLOURS,
    Screen,
    duration,
    fit,
    is_number,
    json_line,
    seconds_between,
    short,
    width_of,
)

SHORTEST = 8
"""The least number of an id's characters to show; more are shown where ids share a prefix."""
WIDEST = 32
"""Columns of a cell at most; metrics may have twice as many."""
NEWEST_RESULTS = 50
"""Results of a run among which its metrics are found."""
MOST_METRICS = 4
EVERY = 2**62
"""More runs than there are."""
STALE = "stale"
STATUSES = (*get_args(Status), STALE)


class _ResultPage(msgspec.Struct):
    results: list[Result]


@click.command("runs")
@click.option("--instance", "-i", help="Only runs of the instance with this name or id.")
@click.option("--status", "-s", type=click.Choice(STATUSES), help="Only runs with this status.")
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print each run as a JSON object, one per line.")
@url_option
@orderly
def command(instance: str | None, status: str | None, limit: int, as_json: bool, url: str) -> None:
    """List runs, newest first, each with the newest values of its metrics.

    \b
    athanor runs                                 the newest 20
    athanor runs --status stale                  running, but silent for a minute
    athanor runs -i digits -n 1000 --json | jq -r .id

    `tail`, `cancel` and `export` accept the prefix of an id that is shown here.
    """
    screen = Screen()
    with Service(url) as service:
        of = None if instance is None else _id_of(service, instance)
        found = list(islice(_runs(service, status, limit, of), limit))
        if as_json:
            for data, _ in found:
                screen.write(json_line(data))
        else:
            _show(screen, service, [run for _, run in found])
    screen.flush()


def _runs(
    service: Service, status: str | None, limit: int, instance_id: str | None
) -> Iterator[tuple[bytes, RunState]]:
    """Runs of a status, newest first. `stale` is a state of running ones, of which any may be."""
    is_stale = status == STALE
    wanted = "running" if is_stale else cast(Status | None, status)
    for data in service.runs(EVERY if is_stale else limit, wanted, instance_id):
        run = msgspec.json.decode(data, type=RunState)
        if run.stale or not is_stale:
            yield data, run


def _id_of(service: Service, instance: str) -> str:
    for found in service.instances(name=instance):
        return found.id
    for found in service.instances():
        if found.id == instance:
            return found.id
    text = f"there is no instance {instance[:100]!r} at {service.place}"
    raise Trouble(f"{text}; `athanor runs` lists them")


def _show(screen: Screen, service: Service, runs: list[RunState]) -> None:
    if not runs:
        screen.write_notice(f"there are no such runs at {service.place}")
        return
    ids = _short_ids([run.id for run in runs])
    names = {instance.id: instance.name for instance in service.instances()}
    rows = [
        (
            id,
            names.get(run.instance_id, run.instance_id),
            name_of(run),
            _status(run),
            _began(run),
            _took(run),
            _lines(run),
            _metrics(service, run),
        )
        for id, run in zip(ids, runs, strict=True)
    ]
    rows.insert(0, ("run", "of", "name", "status", "began", "took", "lines", "metrics"))
    table = [
        tuple(
            fit(" ".join(sanitized(cell).split()), WIDEST * (1 + (number == 7)))
            for number, cell in enumerate(row)
        )
        for row in rows
    ]
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    for number, (row, run) in enumerate(zip_longest(table, [None, *runs])):
        cells = [cell + " " * (width - width_of(cell)) for cell, width in zip(row, widths, strict=True)]
        cells[6] = " " * (widths[6] - width_of(row[6])) + row[6]
        if run is not None:
            colour = "magenta" if run.stale else STATUS_COLOURS.get(run.status)
            cells[3] = screen.style(cells[3], colour)
        line = "  ".join(cells).rstrip()
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


def _metrics(service: Service, run: RunState) -> str:
    """The newest numbers of a run, each with its key; not those of the machine."""
    if not run.result_count:
        return ""
    query = {"before": str(2**62), "limit": str(NEWEST_RESULTS)}
    page = service.ask("GET", f"/runs/{run.id}/results", _ResultPage, query)
    newest = {result.key: result.value for result in page.results if is_number(result.value)}
    shown = [f"{key}={short(value)}" for key, value in newest.items() if not key.startswith("system/")]
    return " ".join(shown[:MOST_METRICS])


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
