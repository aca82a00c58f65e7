"""Finding a port to listen on."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import click

from ..client.settings import without_login
from ..config import Settings

NEIGHBOURS = range(1, 20)
"""How far from the wished-for port a free one is looked for, before any is taken."""


class PortTaken(Exception):
    """Somebody listens there already."""


def listen(host: str, port: int, or_near: bool = False) -> socket.socket:
    """A listening socket at `port` (0: any), or, if that is wished, at a free one near it.

    Raises `PortTaken`, or another `OSError` where this machine has no such address.
    """
    family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    tries = [port, *(port + n for n in NEIGHBOURS), 0] if or_near else [port]
    for number in tries:
        try:
            return socket.create_server((host, number), family=family, backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise PortTaken(f"port {port} of {host} is taken")


def listen_as_set(settings: Settings, chosen: bool) -> socket.socket:
    """At the port that was `chosen`, or near the default; says why not, where it can't."""
    try:
        return listen(settings.host, settings.port, or_near=not chosen)
    except PortTaken as error:
        raise click.ClickException(f"{error}; choose another by --port, or any by --port 0") from None
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        raise click.ClickException(f"can't listen on {place}: {error.strerror or error}") from None


def url_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound to here
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def place_of(settings: Settings) -> str:
    """Where the data is, as one may show it."""
    if settings.sqlite_path is not None:
        return str(Path(settings.sqlite_path).absolute())
    return without_login(settings.database_url)
