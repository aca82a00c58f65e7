"""Hosts: the names under which the service answers.

A page whose name was made to resolve to the service's address (DNS rebinding) has the service's
origin for the browser. Only the header `Host` tells its requests from others.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from functools import lru_cache

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?)(?::(\d{1,5}))?")
MOST_HOST = 261
"""Characters of a `Host`: a name has 255 at most (RFC 1035, section 2.3.4), and a port has 6."""


class Host:
    """The value of a header `Host`: a name or an address in lower case, and a port, if it has one.

    `is_loopback` says whether it means this machine. Raises `ValueError` for anything else (RFC 9110,
    section 7.2).
    """

    __slots__ = ("is_loopback", "name", "port")

    def __init__(self, text: str) -> None:
        match = _HOST.fullmatch(text) if len(text) <= MOST_HOST else None
        if match is None or int(match[2] or 0) > 65535:
            raise ValueError("the header Host is not a name or an address with an optional port")
        self.name = match[1].lower().strip("[]").removesuffix(".")
        self.port = int(match[2]) if match[2] else None
        is_local_name = self.name == "localhost" or self.name.endswith(".localhost")
        self.is_loopback = is_local_name or is_loopback_address(self.name)


@lru_cache(256)
def host_of(value: bytes) -> Host:
    """The `Host` of a header's value; nearly all requests have the same. Raises `ValueError`."""
    return Host(value.decode("latin-1"))


class HostRule:
    """Loopback names, the address that a connection was made to, and those in a list.

    The list is that of `ATHANOR_ALLOWED_HOSTS`: names separated by commas, where `*.example.org`
    means all names below `example.org`, and `*` means every name.
    """

    def __init__(self, allowed: str, bound: str = "") -> None:
        names = [name.strip().lower() for name in allowed.split(",")]
        self._names = {name.strip("[]").removesuffix(".") for name in names if name} | {bound} - {""}
        self._suffixes = tuple(name[1:] for name in self._names if name.startswith("*."))

    def accepts(self, host: Host, address: str = "") -> bool:
        """Whether `host` names this service; `address` is the connection's own end."""
        if host.is_loopback or host.name in self._names or "*" in self._names:
            return True
        return host.name == address.lower() or host.name.endswith(self._suffixes or ("\0",))


def is_loopback_address(text: str) -> bool:
    """Whether `text` is an address of this machine's loopback interface."""
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


@lru_cache(1024)
def is_beyond_this_machine(text: str) -> bool:
    """Whether `text` is an address, and none of the loopback interface."""
    try:
        return not ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False


def is_local(name: str) -> bool:
    """Whether no address of a name to listen on is reached by other machines."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        # to listen on it fails, and says why
        return True
    return all(is_loopback_address(str(address[0])) for *_, address in found)
