"""The loop of sender.c in Python, for a machine without a C compiler: the same commands."""

from __future__ import annotations

import signal
import socket
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: ready\n\n"


def main() -> None:
    signal.alarm(900)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        print(listener.getsockname()[1], flush=True)
        clients = []
        for _ in range(int(sys.argv[1])):
            client, _address = listener.accept()
            client.recv(4096)
            client.sendall(HEAD)
            clients.append(client)
        for line in sys.stdin:
            size, lines = (int(word) for word in line.split())
            frame = b"~" * lines + b"x" * (size - lines - 2) + b"\n\n"
            for client in clients:
                client.sendall(frame)


if __name__ == "__main__":
    main()
