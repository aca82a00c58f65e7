"""A hostile or broken server: what is read of it has a bound, and the experiment goes on."""

from __future__ import annotations

import gzip
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from athanor import AthanorError, subscribe
from athanor.client import http, sse
from athanor.client.sse import EventTooLarge, SseDecoder

from ..support.impostor import Impostor, response
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, environment

PEAK = 300 << 10
"""KiB that a command may hold: an interpreter with httpx takes some 60 MiB."""

PEAK_OF = "int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
"""An expression for the most memory a process held, in KiB; `ru_maxrss` includes its parent's."""
MEASURED = f"""
import re, sys
from athanor.cli import main

try:
    main(sys.argv[1:], prog_name="athanor")
except SystemExit as error:
    print("exit", error.code, {PEAK_OF})
"""


@contextmanager
def endless(head: bytes, piece: bytes, most: int = 1 << 30) -> Iterator[str]:
    """A server that never ends its response, up to `most` bytes; yields its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.recv(65536)
                    connection.sendall(head)
                    for _ in range(most // len(piece)):
                        connection.sendall(piece)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE)


def measured(folder: Path, url: str, *arguments: str) -> tuple[int, int, str]:
    """A command's exit code, the most memory it held (KiB), and its stderr."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *arguments],
        cwd=folder,
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    _, code, peak = done.stdout.split()[-3:]
    return int(code), int(peak), done.stderr


def test_a_body_that_is_compressed_although_nobody_asked_is_refused(tmp_path: Path) -> None:
    # 200 KiB that become 200 MiB
    bomb = gzip.compress(bytes(200 << 20))
    with Impostor(response("200 OK", bomb, "Content-Encoding: gzip")) as server:
        code, peak, shown = measured(tmp_path, server.url, "runs")
    assert code == 2
    assert "encoded as 'gzip'" in shown
    assert peak < PEAK


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Type: application/problem+json\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
    ids=["body", "error", "headers"],
)
def test_a_response_without_an_end_is_given_up(head: bytes, tmp_path: Path, scripts: Scripts) -> None:
    piece = b"x: " + b"a" * 60_000 + b"\r\n"
    with endless(head, piece) as url:
        code, peak, shown = measured(tmp_path, url, "runs")
        assert code == 2
        assert "Traceback" not in shown
        assert peak < PEAK
        script = scripts(
            f"""
            import re
            import athanor

            with athanor.init("bounds", finish_timeout=3) as run:
                run.log("one")
            print({PEAK_OF})
            """,
            url,
        )
        assert script.run() == 0
        assert int(script.stdout) < PEAK


def test_an_event_without_an_end_ends_the_subscription() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    for piece in (b"data: " + b"a" * 65536, b"data: " + b"a" * 60_000 + b"\n"):
        with (
            endless(head, piece) as url,
            pytest.raises(AthanorError, match="an event has more than 64 MiB"),
        ):
            for _ in subscribe("experiments:run:x", url=url, after="0"):
                pass


def test_bounds_leave_room_for_the_largest_event_of_the_service() -> None:
    largest = b"data: " + b"a" * (9 << 20) + b"\n\n"
    assert len(SseDecoder().feed(largest)) == 1
    assert min(sse.MAX_BYTES, http.MAX_RESPONSE) > 4 * len(largest)
    decoder = SseDecoder()
    for _ in range(20):
        # the bound is of one event, not of the stream
        assert len(decoder.feed(largest)) == 1
    with pytest.raises(EventTooLarge):
        SseDecoder().feed(b"a" * (sse.MAX_BYTES + 1))


def test_retry_is_a_minute_at_most() -> None:
    decoder = SseDecoder()
    decoder.feed(b"retry: 99999999999999999999\n")
    assert decoder.retry == 60_000
