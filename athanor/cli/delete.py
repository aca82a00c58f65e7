"""`athanor delete RUN`: delete a run with all that it has stored."""

from __future__ import annotations

import sys

import click

from ..protocol.safe_text import one_line
from .service import Service, Trouble, name_of, orderly, url_option
from .terminal import echo


@click.command("delete")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@url_option
@orderly
def command(runs: tuple[str, ...], yes: bool, url: str) -> None:
    """Delete runs with their logs and results; this can't be undone.

    \b
    athanor delete 019aab
    athanor delete --yes 019aab 019aac

    A running run is not deleted: cancel it first.
    """
    with Service(url) as service:
        # all of them must exist before the first one is deleted
        for state in [service.resolve(run) for run in runs]:
            name = name_of(state)
            what = one_line(f"run {state.id}" + (f" ({name})" if name else ""))
            if not yes:
                if not sys.stdin.isatty():
                    raise Trouble(f"{what} is not deleted: answer at a terminal, or give --yes")
                if not click.confirm(f"delete {what} with {state.log_count:,} lines?"):
                    continue
            service.delete(state.id)
            echo(f"{what} is deleted")
