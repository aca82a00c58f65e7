"""The socket that the service listens on."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import click

from ..config import Settings
from ..web.acceptor import BACKLOG

NEARBY = range(1, 20)
"""Offsets from the requested port that are tried before any free port is used."""


class PortTaken(Exception):
    """Another process listens at this address."""


def listen(host: str, port: int, or_nearby: bool = False) -> socket.socket:
    """A listening socket at `port` (0: any free one); with `or_nearby`, at a free port near it.

    Raises `PortTaken`, and `OSError` where this machine does not have the address.
    """
    family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    tries = [port, *(port + n for n in NEARBY), 0] if or_nearby else [port]
    for number in tries:
        try:
            return socket.create_server((host, number), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise PortTaken(f"port {port} of {host} is taken")


def listen_by(settings: Settings, or_nearby: bool = False) -> socket.socket:
    """A socket at the settings' port; with `or_nearby`, near it if that is taken.

    A service that moves by itself would not be found by scripts, which report to the port they know.
    Raises `click.ClickException` with the place, the reason and the remedy.
    """
    try:
        return listen(settings.host, settings.port, or_nearby=or_nearby)
    except PortTaken as error:
        raise click.ClickException(
            f"{error}; choose another with --port, or 0 for any free one"
        ) from None
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        text = f"can't listen on {place}: {error.strerror or error}; choose another --host"
        raise click.ClickException(text) from None


def url_at(host: str, port: int) -> str:
    """The URL at which a browser on this machine reaches a service that listens there."""
    # nothing is bound to these addresses here
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def place_of(settings: Settings) -> str:
    """The database's file, or the hosts and the name of PostgreSQL's, without a login."""
    if settings.sqlite_path is not None:
        return str(Path(settings.sqlite_path).absolute())
    return settings.database.place
