"""Clients: which connections count as those of one client."""

from __future__ import annotations

from ipaddress import ip_address


def client_at(address: str) -> str:
    """The client at the other end of a connection: its address, of IPv6 its network of 64 bits.

    A client owns that network as a whole. Empty where there is no address, as behind a Unix socket.
    """
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped) if mapped else f"{parsed.exploded[:19]}::/64"
