"""The undocumented parts of uvicorn that `web/uvicorn_adapter.py` and its neighbours use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http import h11_impl, httptools_impl
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS, Process

from athanor.web import uvicorn_adapter

from ..support.follower import wait_until
from ..support.patience import PATIENCE


@pytest.fixture
def server() -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(Starlette(), workers=2))


@pytest.fixture
def supervisor(server: uvicorn.Server) -> Iterator[Multiprocess]:
    """A supervisor without workers; the signal handlers that it replaces are restored."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    with socket.socket() as listener:
        try:
            yield Multiprocess(server.config, [listener])
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def need(owner: object, name: str, purpose: str) -> None:
    """Fail if uvicorn has lost a part."""
    kind = owner if isinstance(owner, type) else type(owner)
    assert hasattr(owner, name), (
        f"uvicorn {uvicorn.__version__} has no {kind.__name__}.{name}, "
        f"which web/uvicorn_adapter.py needs to {purpose}"
    )


@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("config", "find the timeout"),
        ("startup", "call on_ready"),
        ("started", "know whether the server answers requests"),
        ("should_exit", "stop the server"),
    ],
)
def test_server_has_its_parts(server: uvicorn.Server, name: str, purpose: str) -> None:
    need(server, name, purpose)


def test_server_waits_without_a_timeout_unless_configured(server: uvicorn.Server) -> None:
    need(server.config, "timeout_graceful_shutdown", "limit how long the server waits for responses")
    assert server.config.timeout_graceful_shutdown is None


@pytest.mark.parametrize(
    ("owner", "name", "purpose"),
    [
        (Multiprocess, "keep_subprocess_alive", "look at the workers at intervals"),
        (Process, "is_ready", "call on_ready when all workers answer requests"),
        (Process, "exitcode", "find a worker that could not start"),
    ],
)
def test_supervisor_has_its_parts(owner: type, name: str, purpose: str) -> None:
    need(owner, name, purpose)


def test_supervisor_keeps_its_workers_in_a_list(supervisor: Multiprocess) -> None:
    need(supervisor, "processes", "find the workers")
    assert supervisor.processes == []
    assert "keep_subprocess_alive" in Multiprocess.run.__code__.co_names, (
        "Multiprocess.run no longer calls keep_subprocess_alive, in which we call on_ready"
    )


def test_exit_code_of_a_failed_start_is_uvicorns() -> None:
    assert uvicorn_adapter.STARTUP_FAILURE == STARTUP_FAILURE


@pytest.mark.parametrize(("configured", "expected"), [(None, 3), (7, 7)])
def test_signal_handler_leads_to_its_server(
    server: uvicorn.Server, configured: int | None, expected: int
) -> None:
    server.config.timeout_graceful_shutdown = configured
    with server.capture_signals():
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            assert getattr(handler, "__self__", None) is server, (
                f"the handler of {number.name} is no longer a method of uvicorn's Server"
            )
        assert uvicorn_adapter.stop_server(handler, 2.5)
    # it returned, so the signal is not raised again
    assert server.should_exit
    assert server.config.timeout_graceful_shutdown == expected


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_request_leads_to_its_connection(http: Any, loop: Any) -> None:
    sizes: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        transport = uvicorn_adapter.transport_of(receive)
        assert transport is not None, "the connection is not at receive.__self__.transport"
        transport.set_write_buffer_limits(high=0)
        assert not uvicorn_adapter.takes_chunks(receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert uvicorn_adapter.takes_chunks(receive, send) == (http == "httptools")
        assert not uvicorn_adapter.takes_chunks(receive, lambda message: send(message))
        await send({"type": "http.response.body", "body": bytes(16 << 20), "more_body": True})
        sizes.append(transport.get_write_buffer_size())
        # waits until the client has taken all
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        sizes.append(transport.get_write_buffer_size())
        transport.abort()
        uvicorn_adapter.leave(receive)
        # is dropped, without an error
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    with client_of(app, http, loop) as client:
        wait_until(lambda: sizes, "a full buffer")
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1 << 20):
                pass
    assert sizes[0] > 0
    assert sizes[1:] == [0]


@contextlib.contextmanager
def client_of(app: Any, http: Any, loop: Any, method: str = "GET") -> Iterator[socket.socket]:
    """A client that has sent one request to a server in another thread."""
    config = uvicorn.Config(app, http=http, loop=loop, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=server.run, args=([listener],))
        serving.start()
        try:
            with socket.create_connection(listener.getsockname()) as client:
                client.settimeout(PATIENCE)
                client.sendall(f"{method} / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                yield client
        finally:
            server.should_exit = True
            serving.join(PATIENCE)


class Recorder:
    """A transport that keeps what is written through it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(bytes(data))
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


SIZED = [(b"content-length", b"4")]


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    ("method", "status", "headers", "bodies", "ends"),
    [
        ("GET", 200, SIZED, [b"body"], [b"\r\n\r\nbody"]),
        ("GET", 200, SIZED, [b"bo", b"dy"], [b"\r\n\r\nbo", b"dy"]),
        ("GET", 200, SIZED, [memoryview(b"body")], [b"\r\n\r\nbody"]),
        ("HEAD", 200, SIZED, [b""], [b"\r\n\r\n"]),
        ("GET", 204, [], [b""], [b"\r\n\r\n"]),
        # the application fails, or leaves the rest to others
        ("GET", 200, SIZED, [], [b"\r\n\r\n"]),
    ],
    ids=["one", "two", "view", "head", "empty", "none"],
)
def test_the_head_of_a_response_is_written_with_its_body(
    http: Any, loop: Any, method: str, status: int, headers: Any, bodies: list[bytes], ends: list[bytes]
) -> None:
    recorders: list[Recorder] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        cycle = receive.__self__
        recorder = cycle.transport = Recorder(cycle.transport)
        recorders.append(recorder)
        with uvicorn_adapter.JoinedWrites(receive):
            await send({"type": "http.response.start", "status": status, "headers": headers})
            for left, body in zip(reversed(range(len(bodies))), bodies, strict=True):
                await send({"type": "http.response.body", "body": body, "more_body": left > 0})
        assert cycle.transport is recorder

    received = b""
    with client_of(app, http, loop, method) as client:
        while piece := client.recv(1 << 16):
            received += piece
    (recorder,) = recorders
    written = [data for data in recorder.written if data]
    assert b"".join(written) == received
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert len(written) == len(ends)
    assert all(data.endswith(end) for data, end in zip(written, ends, strict=True))


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_head_of_a_response_is_dropped_with_its_connection(http: Any, loop: Any) -> None:
    ended: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        transport = uvicorn_adapter.transport_of(receive)
        assert transport is not None
        with uvicorn_adapter.JoinedWrites(receive):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            transport.abort()
            # until the loop has closed it
            while (await receive())["type"] != "http.disconnect":
                pass
            for _ in range(3):
                await asyncio.sleep(0)
        ended.append(True)

    with client_of(app, http, loop) as client:
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1 << 16) == b""
        wait_until(lambda: ended, "the end of the application, without an error")


def test_what_is_no_request_of_uvicorn_has_no_connection() -> None:
    async def receive() -> None:
        pass

    assert uvicorn_adapter.transport_of(receive) is None
    uvicorn_adapter.leave(receive)


def test_other_handlers_are_no_servers() -> None:
    assert not uvicorn_adapter.stop_server(signal.default_int_handler, 1)
    assert not uvicorn_adapter.stop_server(os.environ.get, 1)


@pytest.mark.parametrize("protocol", [HttpToolsProtocol, H11Protocol])
@pytest.mark.parametrize(
    ("name", "purpose"),
    [
        ("transport", "write a refusal"),
        ("flow", "know whether it reads and writes"),
        ("loop", "ask for the time"),
        ("cycle", "find the newest request"),
        ("pause_writing", "notice a client that does not read"),
        ("resume_writing", "notice that it reads"),
        ("on_response_complete", "notice the end of a response"),
        ("_unset_keepalive_if_required", "end a connection in another way"),
        ("shutdown", "end a connection at the end of the server"),
    ],
)
def test_protocols_have_their_parts(
    server: uvicorn.Server, protocol: type, name: str, purpose: str
) -> None:
    need(made(server, protocol), name, purpose)


@pytest.mark.parametrize(
    ("protocol", "names"),
    [
        (HttpToolsProtocol, ("parser", "pipeline", "_start_asgi_task", "on_message_begin", "on_url")),
        (HttpToolsProtocol, ("on_header", "on_headers_complete", "on_body", "on_message_complete")),
        (H11Protocol, ("conn", "send_400_response")),
    ],
)
def test_each_protocol_has_its_own_parts(
    server: uvicorn.Server, protocol: type, names: tuple[str, ...]
) -> None:
    for name in names:
        need(made(server, protocol), name, "bound what a connection sends")


@pytest.mark.parametrize("cycle", [httptools_impl.RequestResponseCycle, h11_impl.RequestResponseCycle])
def test_cycles_have_their_parts(cycle: Any) -> None:
    parts = {"disconnected", "message_event", "response_started", "response_complete", "keep_alive"}
    parts |= {"waiting_for_100_continue"}
    if cycle is httptools_impl.RequestResponseCycle:
        # a response for HTTP/1.0 is made with these
        parts |= {"chunked_encoding", "expected_content_length", "scope"}
    assert parts <= set(cycle.__init__.__code__.co_names)


def test_the_flow_says_what_is_paused() -> None:
    assert {"read_paused", "write_paused"} <= set(FlowControl.__init__.__code__.co_names)


def test_pipelined_requests_wait_on_the_left(server: uvicorn.Server) -> None:
    """The oldest is taken from the right; `_unanswered` depends on it."""
    assert "appendleft" in HttpToolsProtocol.on_headers_complete.__code__.co_names
    assert "pop" in HttpToolsProtocol.on_response_complete.__code__.co_names


@pytest.mark.parametrize(
    ("owner", "name", "purpose"),
    [
        (uvicorn.Config, "http_protocol_class", "give connections their bounds"),
        (uvicorn.Server, "servers", "accept in their place"),
        (uvicorn.Server, "server_state", "count connections"),
    ],
)
def test_servers_are_replaced(owner: type, name: str, purpose: str) -> None:
    startup = uvicorn.Server.startup.__code__
    # one of its functions makes the protocols
    inner = [name for code in startup.co_consts for name in getattr(code, "co_names", ())]
    used = {*startup.co_names, *uvicorn.Server.shutdown.__code__.co_names, *inner}
    assert name in used, f"uvicorn {uvicorn.__version__} has no {owner.__name__}.{name} to {purpose}"


def test_supervisor_makes_its_workers_from_the_modules_class() -> None:
    for method in ("init_processes", "restart_all", "keep_subprocess_alive", "handle_ttin"):
        assert "Process" in getattr(Multiprocess, method).__code__.co_names, method
    need(Process, "server", "give workers our server")
    assert "server" in Process.target.__code__.co_names


def made(server: uvicorn.Server, protocol: Any) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return protocol(config=server.config, server_state=server.server_state, app_state={}, _loop=loop)
    finally:
        loop.close()
