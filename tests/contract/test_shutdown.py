"""SIGTERM with open streams and buffered entries: an orderly end, and no loss on resuming."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import sys

import pytest

from ..support.follower import Follower, wait_until
from ..support.service import ROOT, Service, new_run
from ..support.stopwatch import ends_within

STREAMS = 200


class RawStream:
    """A stream over a bare socket, which is read only by `read_to_the_end`."""

    def __init__(self) -> None:
        self.received = b""
        self.ended_cleanly = False

    async def open(self, port: int, path: str) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        self.received = await self.reader.readuntil(b"athanor\n\n")

    async def read_to_the_end(self) -> None:
        self.received += await self.reader.read(-1)
        self.ended_cleanly = self.received.endswith(b"0\r\n\r\n")
        self.writer.close()

    @property
    def last_id(self) -> str:
        ids = re.findall(rb"^id: (\S+)$", self.received, re.MULTILINE)
        return ids[-1].decode() if ids else ""

    @property
    def seqs(self) -> list[int]:
        return [int(seq) for seq in re.findall(rb'"seq":(\d+)', self.received)]


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_ends_within_five_seconds_and_loses_nothing(service: Service, number: int) -> None:
    client = service.client()
    run = new_run(client)
    path = f"/events/experiments:run:{run}"
    streams = [RawStream() for _ in range(STREAMS)]
    for stream in streams:
        await stream.open(service.port, path)
    acknowledged = 0
    body = "\n".join(json.dumps({"message": f"line {i}"}) for i in range(50)).encode()
    request = (
        f"POST /runs/{run}/logs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    async def produce() -> None:
        nonlocal acknowledged
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        try:
            while True:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
                if b" 201 " not in head.split(b"\r\n")[0]:
                    return
                acknowledged += 50
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    producers = [asyncio.ensure_future(produce()) for _ in range(4)]
    readers = [asyncio.ensure_future(stream.read_to_the_end()) for stream in streams]
    await asyncio.to_thread(wait_until, lambda: acknowledged >= 2000, "acks")
    assert service.process is not None
    service.process.send_signal(number)
    assert await asyncio.to_thread(ends_within, service.process, 5) == 0
    await asyncio.gather(*producers, *readers)
    assert all(stream.ended_cleanly for stream in streams)
    assert "Traceback" not in service.log.read_text()
    assert "ERROR" not in service.log.read_text()

    service.start()
    client = service.client()
    client.post(f"/runs/{run}/complete").raise_for_status()
    total = client.get(f"/runs/{run}").json()["log_count"]
    assert total >= acknowledged
    for stream in streams[::20]:
        follower = Follower(service.url, path, last_id=stream.last_id)
        follower.run()
        assert follower.error is None
        assert stream.seqs + follower.seqs == list(range(1, total + 1))


@pytest.mark.anyio
async def test_clients_that_do_not_read_do_not_delay_it(service: Service) -> None:
    client = service.client()
    run = new_run(client)
    streams = [RawStream() for _ in range(10)]
    for stream in streams:
        await stream.open(service.port, f"/events/experiments:run:{run}")
    big = "\n".join(json.dumps({"message": "x" * 4000}) for _ in range(1000))
    # 12 MB for each client: more than the kernel buffers for one that does not read
    for _ in range(3):
        client.post(
            f"/runs/{run}/logs", content=big, headers={"Content-Type": "application/x-ndjson"}
        ).raise_for_status()
    assert service.terminate(5) == 0
    assert "Traceback" not in service.log.read_text()
    for stream in streams:
        stream.writer.close()


def test_uvicorn_itself_exits_with_zero_too(service: Service) -> None:
    service.terminate()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0"]
    with (service.folder / "uvicorn.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=service.environment(), stdout=log, stderr=subprocess.STDOUT
        )
    text = (service.folder / "uvicorn.log").read_text
    try:
        wait_until(lambda: "Uvicorn running" in text(), "uvicorn")
        found = re.search(r"http://127\.0\.0\.1:(\d+)", text())
        assert found is not None
        service.port = int(found[1])
        run = new_run(service.client())
        follower = Follower(service.url, f"/events/experiments:run:{run}")
        follower.start()
        wait_until(lambda: follower.connections, "a stream")
        process.send_signal(signal.SIGTERM)
        assert ends_within(process, 5) == 0
        wait_until(lambda: follower.clean_ends, "the end of the stream")
        follower.stopped = True
        assert "Traceback" not in text()
    finally:
        process.kill()
