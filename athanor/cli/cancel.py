"""`athanor cancel RUN`: ask a run to end."""

from __future__ import annotations

import sys

import click

from ..client.subscriber import subscribe
from ..protocol.events import RUN_ENDS, RunCancelled, RunCompleted, RunFailed
from ..protocol.records import RunState
from .service import Service, orderly, url_option
from .terminal import echo


@click.command("cancel")
@click.argument("run", metavar="RUN|latest")
@click.option("--wait", "-w", is_flag=True, help="Wait until the run has ended, and print how.")
@url_option
@orderly
def command(run: str, wait: bool, url: str) -> None:
    """Ask a run to end.

    \b
    athanor cancel latest
    athanor cancel 019aab --wait

    A loop over `run.track` ends within a second; a program under `athanor run` is interrupted as by
    Ctrl-C. A run that does not respond is cancelled after 30 seconds. With --wait, the exit code is
    0 if the run was cancelled, and 1 if it ended in another way first.
    """
    with Service(url) as service:
        state = service.resolve(run)
        if state.is_final:
            echo(f"run {state.id} is already {state.status}")
            sys.exit(0 if state.status == "cancelled" else 1)
        state = service.ask("POST", f"/runs/{state.id}/cancel", RunState)
    if state.is_final:
        echo(f"run {state.id} is {state.status}")
    elif not wait:
        echo(f"run {state.id} was asked to end")
    else:
        sys.exit(_wait(state.id, url))


def _wait(id: str, url: str) -> int:
    for event in subscribe(f"experiments:run:{id}", url=url, after="0", types=RUN_ENDS):
        if isinstance(event, RunCompleted | RunFailed | RunCancelled):
            first, *more = (event.run.error or "").split("\n")
            echo(f"run {id} is {event.run.status}{': ' if first else ''}{first}")
            for line in more:
                echo(f"  {line}")
            return 0 if event.run.status == "cancelled" else 1
    return 1
