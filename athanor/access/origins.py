"""Origins: which pages may write.

A browser sends `Origin` with every request of a page that may change something, and the newer
`Sec-Fetch-Site` where it trusts the connection. Programs send neither.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from .hosts import Host

_PORTS = {"http": 80, "https": 443}


class OriginRule:
    """The service's own origin, and those in the list of `ATHANOR_ALLOWED_ORIGINS`."""

    def __init__(self, allowed: str) -> None:
        self.allowed = [origin for origin in map(str.strip, allowed.split(",")) if origin]

    def accepts(self, origin: str | None, fetch_site: str | None, host: Host) -> bool:
        """Whether a request that writes may be served."""
        if origin is not None and (origin in self.allowed or "*" in self.allowed):
            return True
        if origin is not None and not is_same_origin(origin, host):
            return False
        return fetch_site in (None, "same-origin", "none")


def is_same_origin(origin: str, host: Host) -> bool:
    """Whether `origin` is that of the page at `host`.

    The scheme gives the default port and is not compared, for the proxy that ends TLS knows it.
    """
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    if (
        parts.scheme not in _PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or origin != f"{parts.scheme}://{parts.netloc}"
    ):
        return False
    default = _PORTS[parts.scheme]
    same_name = parts.hostname.removesuffix(".") == host.name
    return same_name and (port or default) == (host.port or default)
