"""`athanor serve`: start the service, and print its address and the next commands."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from urllib.parse import quote

import click

from ..client.settings import DEFAULT_URL
from ..config import Settings
from ..database_url import is_database_url
from ..exceptions import ConfigurationError
from ..version import __version__
from ..web.application import create_app
from ..web.server import check_bind, serve
from .listener import listen_by, place_of, url_at
from .terminal import echo_own


@click.command("serve")
@click.option("--host", help="Address to listen on; default: ATHANOR_HOST, or 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Port to listen on, 0 for any free one; default: ATHANOR_PORT, or 8000.",
)
@click.option(
    "--database",
    "-d",
    help="SQLite file, or postgresql://user@host/database; default: ATHANOR_DATABASE_URL, or "
    "athanor.db in this folder.",
)
@click.option(
    "--workers",
    "-w",
    type=click.IntRange(1),
    help="Number of processes; default: ATHANOR_WORKERS, or 1. SQLite allows one only.",
)
@click.option("--open", "-o", "opens", is_flag=True, help="Open the page in a browser.")
@click.option("--listener", type=int, hidden=True)
def command(
    host: str | None,
    port: int | None,
    database: str | None,
    workers: int | None,
    opens: bool,
    listener: int | None,
) -> None:
    """Start the service, until Ctrl-C.

    \b
    athanor serve                          on 127.0.0.1:8000, with athanor.db in this folder
    athanor serve --open                   the same, and open a browser
    athanor serve -d ~/runs.db --port 80
    athanor serve -d postgresql://localhost/athanor --workers 4

    Without a token only programs on this machine are served; ATHANOR_TOKEN opens the service to
    those who have it. The environment's ATHANOR_ variables set more; the documentation lists them.
    """
    try:
        settings = Settings.from_env(
            host=host,
            port=port,
            database_url=None if database is None else _database_url(database),
            workers=workers,
            log_level=os.environ.get("ATHANOR_LOG_LEVEL") or "warning",
        )
        app = create_app(settings)
        check_bind(settings, app.authenticator)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    bound = listen_by(settings) if listener is None else socket.socket(fileno=listener)
    url = url_at(*bound.getsockname()[:2])
    token = app.authenticator.link_token
    link = f"{url}/#token={quote(token, safe='')}" if token else f"{url}/"

    def welcome() -> None:
        # stdout's reader may have gone
        with contextlib.suppress(OSError):
            echo_own(_welcome(url, link, place_of(settings)))
        if opens and sys.stdout.isatty():
            threading.Thread(target=webbrowser.open, args=(link,), daemon=True).start()

    with contextlib.closing(bound):
        serve(app, bound, welcome if listener is None else None)


def _database_url(database: str) -> str:
    return database if is_database_url(database) else f"sqlite:///{Path(database).absolute()}"


def _welcome(url: str, link: str, place: str) -> str:
    lines = [f"athanor {__version__} is at {click.style(link, bold=True)}"]
    lines += [f"its data is in {place}", "", "next, in another terminal:"]
    if url != DEFAULT_URL:
        lines.append(f"  export ATHANOR_URL={url}")
    lines += [
        "  athanor demo                      run an example experiment",
        "  athanor run -- python train.py    run a program of yours",
        "  athanor tail latest               follow the newest run",
        "",
        "Ctrl-C stops the service; its data stays.",
    ]
    return "\n".join(lines)
