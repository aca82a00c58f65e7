"""Servers that broadcast what is posted: Athanor, and those that it is measured beside.

Each is a context manager of a `Server`: a process of its own, on a core of its own.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

from tests.support.scripts import free_port
from tests.support.service import ROOT, new_run

from .harness import HasPid, allow_connections, alone, service_alone
from .load import PEERS, folder, program

LINE = "epoch 3 batch 17 loss 0.1234 accuracy 0.9876 ~"
"""A message; the mark at its end is what readers count."""
STAMP = "2026-11-26T17:30:00.123456Z"


@dataclass
class Server:
    """`publish` sends a frame of so many lines to every reader that sent one of the `requests`."""

    process: HasPid
    port: int
    requests: list[str]
    ready: str
    publish: Callable[[int], None]


def stream(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def array(lines: int) -> str:
    """The data of a frame as Athanor sends it: what the others are given to broadcast."""
    entries = [
        f'{{"seq":{n},"level":"info","message":"{LINE}","metadata":null,"timestamp":"{STAMP}"}}'
        for n in range(lines)
    ]
    return f'{{"type":"run_logs","run_id":"1a209f64162930498d882","logs":[{",".join(entries)}]}}'


@contextlib.contextmanager
def athanor(also: int = 0) -> Iterator[Server]:
    """With `also`, so many selections: each has the busy run, and one run without entries."""
    with service_alone(flush_interval=0.005) as service:
        client = service.client()
        run = new_run(client)
        topic = f"experiments:run:{run}"
        paths = [f"/events/{topic}"]
        if also:
            others = [new_run(client, start=False) for _ in range(also)]
            paths = [f"/events?topic={topic}&topic=experiments:run:{other}" for other in others]

        def publish(lines: int) -> None:
            body = "\n".join([json.dumps({"message": LINE})] * lines)
            headers = {"Content-Type": "application/x-ndjson"}
            client.post(f"/runs/{run}/logs", content=body, headers=headers).raise_for_status()

        yield Server(service, service.port, list(map(stream, paths)), "athanor\n\n", publish)


@contextlib.contextmanager
def sse_starlette() -> Iterator[Server]:
    with (
        _process([sys.executable, str(PEERS / "sse_app.py")], PYTHONPATH=str(ROOT)) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{_port_of(process)}", timeout=30) as client,
    ):
        port = client.base_url.port
        assert port is not None
        _await_port(port)
        with alone([process]):
            yield Server(process, port, [stream("/events")], "ready", _post(client))


@contextlib.contextmanager
def nchan() -> Iterator[Server]:
    nginx, module = nchan_files()
    place = Path(tempfile.mkdtemp(prefix="nchan-", dir=folder()))
    port = free_port()
    # a process that answers is started by root as another user, unless it is told not to
    user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
    (place / "nginx.conf").write_text(f"""
        load_module {module}; daemon off; worker_processes 1; pid {place}/pid; {user}
        error_log {place}/error.log; worker_rlimit_nofile 20000;
        events {{ worker_connections 16000; }}
        http {{
            access_log off; client_body_temp_path {place}/body; client_max_body_size 1m;
            proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
            uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
            client_body_buffer_size 1m;
            server {{
                listen 127.0.0.1:{port} backlog=2048;
                location = /publish {{ nchan_publisher; nchan_channel_id run; }}
                location = /events {{
                    nchan_subscriber eventsource; nchan_channel_id run;
                    nchan_subscriber_first_message newest;
                }}
            }}
        }}""")
    with (
        _process([nginx, "-p", str(place), "-c", str(place / "nginx.conf")]) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        _await_port(port)
        with alone([process]):
            # nchan sends the headers at once, and ": hi" after them
            yield Server(process, port, [stream("/events")], ": hi", _post(client))


@contextlib.contextmanager
def send_loop(readers: int) -> Iterator[Server]:
    """The same bytes, by `send(2)` to one reader after the other."""
    with _process([*program("sender"), str(readers)]) as process:
        port = _port_of(process)

        def publish(lines: int) -> None:
            assert process.stdin is not None
            size = len(array(lines)) + len("id: 1a209f641629-100000\nevent: run_logs\ndata: \n\n")
            process.stdin.write(f"{size} {lines}\n".encode())
            process.stdin.flush()

        with alone([process]):
            yield Server(process, port, [stream("/events")], "ready", publish)


@contextlib.contextmanager
def redis(*options: str) -> Iterator[Server]:
    """A stream, and readers that wait by XREAD for each of its entries."""
    port = free_port()
    command = [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder())]
    command += [
        "--save",
        "",
        "--dbfilename",
        f"{port}.rdb",
        "--maxclients",
        "15000",
        "--loglevel",
        "warning",
    ]
    command += ["--appenddirname", f"aof-{port}", *options]
    with _process(command) as process:
        _await_port(port)
        with socket.create_connection(("127.0.0.1", port)) as connection, alone([process]):
            published = 0

            def publish(lines: int) -> None:
                nonlocal published
                published += 1
                connection.sendall(xadd(f"{published}-0", array(lines)))
                assert connection.recv(4096).startswith(b"$"), "XADD failed"

            # an entry of a number above that of the last one; PING shows that a reader is connected
            yield Server(
                process, port, ["PING\r\nXREAD BLOCK 0 STREAMS run %d-0\r\n"], "PONG\r\n", publish
            )


def xadd(number: str, text: str) -> bytes:
    words = ["XADD", "run", number, "line", text]
    return f"*{len(words)}\r\n".encode() + b"".join(
        f"${len(word)}\r\n{word}\r\n".encode() for word in words
    )


def redis_program() -> str:
    """Raises `LookupError` with the reason why there is none."""
    found = shutil.which("redis-server")
    if found is None:
        raise LookupError("no redis-server on this machine")
    return found


@cache
def nchan_files() -> tuple[str, str]:
    """nginx, and the module from Debian's package, which is unpacked, not installed.

    Raises `LookupError` with the reason why there is none.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    installed = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
    nginx = shutil.which("nginx", path=path)
    if nginx and installed.exists():
        return nginx, str(installed)
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise LookupError("no nginx with nchan, and no apt-get to fetch Debian's")
    place = folder() / "debian"
    place.mkdir()
    names = ["libnginx-mod-nchan", *([] if nginx else ["nginx"])]
    if _fetch(names, place) and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-qq"], timeout=60, check=False, capture_output=True)
        _fetch(names, place)
    for package in place.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(package), str(place)], check=True)
    module = next(place.glob("usr/lib/nginx/modules/*nchan*.so"), None)
    found = nginx or shutil.which("nginx", path=str(place / "usr/sbin"))
    if module is None or found is None:
        raise LookupError("apt-get could not fetch libnginx-mod-nchan")
    check = f"load_module {module}; pid {place}/pid; error_log stderr; events {{}}"
    (place / "check.conf").write_text(check)
    tried = subprocess.run(
        [found, "-t", "-p", str(place), "-c", str(place / "check.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise LookupError(f"nginx does not load nchan: {tried.stderr.splitlines()[0][:150]}")
    return found, str(module)


def _fetch(names: list[str], place: Path) -> int:
    """The exit code of `apt-get download`."""
    try:
        command = ["apt-get", "download", "-qq", *names]
        return subprocess.run(command, cwd=place, timeout=60, check=False, capture_output=True).returncode
    except subprocess.TimeoutExpired:
        return 1


def reason_without(find: Callable[[], object]) -> str | None:
    """Why something is not to be had; None if it is."""
    try:
        find()
    except LookupError as error:
        return str(error)
    return None


@contextlib.contextmanager
def _process(command: list[str], **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    allow_connections()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _port_of(process: subprocess.Popen[bytes]) -> int:
    """The port that a program prints first."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _post(client: httpx.Client) -> Callable[[int], None]:
    def publish(lines: int) -> None:
        client.post("/publish", content=array(lines)).raise_for_status()

    return publish
