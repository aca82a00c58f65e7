"""Hosts in network namespaces of this machine, with links that can be cut."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

MAXIMUM = 120
"""The most hosts: each has two links in 198.18.0.0/15, which RFC 2544 reserves for tests."""


def is_possible() -> bool:
    """Whether this process may create network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"athanor-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode == 0
    if made:
        _ip("netns", "del", name)
    return made


class Host:
    """A host with two links to this one: `front` for clients, and `back` to the database.

    `front` and `back` are its own addresses; `opposite` is this machine's address at the other end
    of `back`.
    """

    def __init__(self, number: int) -> None:
        assert number < MAXIMUM
        self.name = f"athanor-{os.getpid()}-{number}"
        self.prefix = ("ip", "netns", "exec", self.name)
        self._links = {
            "front": f"af{os.getpid() % 10**7}-{number}",
            "back": f"ab{os.getpid() % 10**7}-{number}",
        }
        # parallel tests have different networks
        net = (os.getpid() % 100) * 2
        self.front = f"198.18.{net}.{4 * number + 2}"
        self.back = f"198.18.{net + 1}.{4 * number + 2}"
        self.opposite = f"198.18.{net + 1}.{4 * number + 1}"

    def begin(self) -> None:
        _ip("netns", "add", self.name)
        self._in("link", "set", "lo", "up")
        for end, address in (("front", self.front), ("back", self.back)):
            link = self._links[end]
            _ip("link", "add", link, "type", "veth", "peer", "name", end, "netns", self.name)
            _ip(
                "address",
                "add",
                f"{address.rpartition('.')[0]}.{int(address.rpartition('.')[2]) - 1}/30",
                "dev",
                link,
            )
            _ip("link", "set", link, "up")
            self._in("address", "add", f"{address}/30", "dev", end)
            self._in("link", "set", end, "up")

    def cut(self) -> None:
        """Drop everything between the host and the database, without an error at either end."""
        _ip("link", "set", self._links["back"], "down")

    def mend(self) -> None:
        _ip("link", "set", self._links["back"], "up")

    def end(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def _in(self, *words: str) -> None:
        _ip("-n", self.name, *words)


@contextlib.contextmanager
def hosts(count: int) -> Iterator[list[Host]]:
    made = [Host(number) for number in range(count)]
    try:
        for host in made:
            host.begin()
        yield made
    finally:
        for host in made:
            host.end()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
