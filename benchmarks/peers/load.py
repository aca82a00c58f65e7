"""The readers of load.c in Python, for a machine without a C compiler: the same commands."""

from __future__ import annotations

import selectors
import signal
import socket
import sys
from pathlib import Path

MARK = b"~"


class Client:
    """A connection that counts marks, and asks again after each frame if its request has a hole."""

    def __init__(self, number: int, place: tuple[str, int], request: bytes) -> None:
        source = (f"127.0.0.{2 + number // 16000}", 0) if number >= 16000 else None
        self.socket = socket.create_connection(place, source_address=source)
        self.request = request
        self.marks = self.frames = 0
        self.head = b""
        self.ask()

    def ask(self) -> None:
        self.socket.sendall(self.request.replace(b"%d", b"%d" % self.frames))


def main() -> None:
    host, port, count, requests, ready_mark = sys.argv[1:]
    texts = Path(requests).read_bytes().rstrip(b"\0").split(b"\0")
    signal.alarm(900)
    sys.stdin.readline()
    selector = selectors.DefaultSelector()
    for number in range(int(count)):
        client = Client(number, (host, int(port)), texts[number % len(texts)])
        client.socket.setblocking(False)
        selector.register(client.socket, selectors.EVENT_READ, client)
    ready = 0 if ready_mark else int(count)
    total = received = 0
    goal, each = -1, 1
    announced = False
    while True:
        if ready == int(count) and not announced:
            announced = True
            print("ready", flush=True)
            selector.register(sys.stdin, selectors.EVENT_READ)
        for key, _ in selector.select():
            if key.data is None:
                line = sys.stdin.readline()
                if not line:
                    return
                goal, each = (int(word) for word in line.split()[1:])
                continue
            one: Client = key.data
            piece = one.socket.recv(1 << 20)
            if not piece:
                sys.exit("a stream ended")
            received += len(piece)
            if ready < int(count) and one.head is not None and ready_mark.encode() not in one.head:
                one.head += piece
                ready += ready_mark.encode() in one.head
            marks = piece.count(MARK)
            one.marks += marks
            total += marks
            if marks and one.marks >= each and b"%d" in one.request:
                one.marks -= each
                one.frames += 1
                one.ask()
        if 0 <= goal <= total:
            print(received, flush=True)
            goal = -1


if __name__ == "__main__":
    main()
