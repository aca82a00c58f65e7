"""What may respond instead of the service: any bytes, or a proxy that cuts connections."""

from __future__ import annotations

import random
import socket
import threading
from types import TracebackType

from .patience import PATIENCE


def response(status: str, body: bytes = b"", *headers: str) -> bytes:
    """A complete HTTP response, after which the connection is closed."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def problem(status: int, detail: str, errors: str = "[]") -> bytes:
    """A response with the service's own error format."""
    body = f'{{"title": "x", "status": {status}, "detail": "{detail}", "errors": {errors}}}'
    return response(f"{status} X", body.encode(), "Content-Type: application/problem+json")


class Impostor:
    """Answers every request with the same bytes, or with none, and closes the connection."""

    def __init__(self, data: bytes | None, port: int = 0) -> None:
        self._data = data
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
        self._thread.join(PATIENCE)

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
                    if self._data is not None:
                        connection.sendall(self._data)
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


class CuttingProxy:
    """Passes bytes on to `port`, and cuts each connection after a random number of them."""

    def __init__(self, port: int, most: int, seed: int) -> None:
        self._target = port
        self._most = most
        self._random = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.cuts = 0
        self.is_cutting = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> CuttingProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=[connection], daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        service = socket.create_connection(("127.0.0.1", self._target))
        up, down = (self._random.randrange(1, self._most) for _ in range(2))
        back = threading.Thread(target=self._pump, args=[service, client, down], daemon=True)
        back.start()
        self._pump(client, service, up)
        back.join()
        client.close()
        service.close()

    def _pump(self, source: socket.socket, target: socket.socket, budget: int) -> None:
        """Pass on at most `budget` bytes; then cut both connections."""
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
