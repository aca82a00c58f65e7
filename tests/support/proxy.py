"""A network connection that can be cut."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .patience import PATIENCE
from .service import Service


class Proxy:
    """A TCP proxy. The n-th connection ends after the n-th of `limits` bytes of response.

    Each piece, in both directions, arrives `delay` seconds late.
    """

    def __init__(self, port: int, limits: Iterable[int] = ()) -> None:
        self.target = port
        self.refusing = False
        self.delay = 0.0
        self.connections = 0
        self._limits = itertools.chain(limits, itertools.repeat(sys.maxsize))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Break every open connection."""
        for side in list(self._open):
            _shut(side)

    def close(self) -> None:
        self.refusing = True
        _shut(self._listener)
        self.cut()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                try:
                    client, _ = self._listener.accept()
                except ConnectionError:
                    # it was closed before it was accepted
                    continue
                if self.refusing:
                    client.close()
                    continue
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with (
            client,
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self.target)) as service,
        ):
            self._open |= {client, service}
            asking = threading.Thread(target=self._pump, args=(client, service, sys.maxsize))
            asking.start()
            self._pump(service, client, next(self._limits))
            asking.join()
            self._open -= {client, service}

    def _pump(self, source: socket.socket, sink: socket.socket, limit: int) -> None:
        with contextlib.suppress(OSError):
            while limit and (piece := source.recv(min(limit, 1 << 16))):
                time.sleep(self.delay)
                sink.sendall(piece)
                limit -= len(piece)
        _shut(source)
        _shut(sink)


def _shut(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxied(service: Service, limits: Iterable[int] = ()) -> Iterator[Proxy]:
    """A `Proxy` before the service, closed after the block."""
    proxy = Proxy(service.port, limits)
    try:
        yield proxy
    finally:
        proxy.close()
