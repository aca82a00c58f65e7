"""What may stand where the service should be: answers of every kind, and a proxy that cuts."""

from __future__ import annotations

import random
import socket
import threading
from types import TracebackType


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A whole HTTP answer, after which the connection is closed."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def problem(status: int, detail: str, errors: str = "[]") -> bytes:
    body = f'{{"title": "x", "status": {status}, "detail": "{detail}", "errors": {errors}}}'
    return answer(f"{status} X", body.encode(), "Content-Type: application/problem+json")


class Impostor:
    """Gives every request the same bytes, and closes; None: closes without a word."""

    def __init__(self, said: bytes | None, port: int = 0) -> None:
        self._said = said
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.requests = 0
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def __enter__(self) -> Impostor:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.requests += 1
                try:
                    self._read_request(connection)
                    if self._said is not None:
                        connection.sendall(self._said)
                except OSError:
                    continue

    @staticmethod
    def _read_request(connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length and (piece := connection.recv(65536)):
            body += piece


class Proxy:
    """Passes bytes on to `port`, and cuts each connection behind a random number of them."""

    def __init__(self, port: int, most: int, seed: int) -> None:
        self._target = port
        self._most = most
        self._chance = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.cuts = 0
        self.is_cutting = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=[connection], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        service = socket.create_connection(("127.0.0.1", self._target))
        up, down = (self._chance.randrange(1, self._most) for _ in range(2))
        back = threading.Thread(target=self._pump, args=[service, client, down], daemon=True)
        back.start()
        self._pump(client, service, up)
        back.join()
        client.close()
        service.close()

    def _pump(self, source: socket.socket, target: socket.socket, budget: int) -> None:
        """At most so many bytes; then both are cut, in the middle of whatever it was."""
        try:
            while data := source.recv(65536):
                if self.is_cutting and len(data) >= budget:
                    target.sendall(data[:budget])
                    self.cuts += 1
                    break
                budget -= len(data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
