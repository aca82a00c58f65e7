"""`athanor open RUN`: show a run's page in a browser."""

from __future__ import annotations

import webbrowser
from urllib.parse import quote

import click

from .service import Service, orderly, url_option
from .terminal import echo


@click.command("open")
@click.argument("run", metavar="[RUN|latest]", default="latest")
@url_option
@orderly
def command(run: str, url: str) -> None:
    """Open a run's page in a browser, and print its address; without RUN, the newest run's.

    \b
    athanor open
    athanor open 019aab
    """
    with Service(url) as service:
        state = service.resolve(run)
    address = f"{service.place}/#/runs/{quote(state.id)}"
    echo(address)
    webbrowser.open(address)
