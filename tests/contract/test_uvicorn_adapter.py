"""The undocumented parts of uvicorn that `web/uvicorn_adapter.py` uses."""

from __future__ import annotations

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
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS, Process

from athanor.web import uvicorn_adapter

from ..support.follower import wait_until


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
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(16 << 20), "more_body": True})
        sizes.append(transport.get_write_buffer_size())
        # waits until the client has taken all
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        sizes.append(transport.get_write_buffer_size())
        transport.abort()
        uvicorn_adapter.leave(receive)
        # is dropped, without an error
        await send({"type": "http.response.body", "body": b"x", "more_body": True})

    config = uvicorn.Config(app, http=http, loop=loop, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=server.run, args=([listener],))
        serving.start()
        with socket.create_connection(listener.getsockname()) as client:
            client.settimeout(30)
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            wait_until(lambda: sizes, "a full buffer")
            with contextlib.suppress(ConnectionResetError):
                while client.recv(1 << 20):
                    pass
        server.should_exit = True
        serving.join(30)
    assert sizes[0] > 0
    assert sizes[1:] == [0]


def test_what_is_no_request_of_uvicorn_has_no_connection() -> None:
    async def receive() -> None:
        pass

    assert uvicorn_adapter.transport_of(receive) is None
    uvicorn_adapter.leave(receive)


def test_other_handlers_are_no_servers() -> None:
    assert not uvicorn_adapter.stop_server(signal.default_int_handler, 1)
    assert not uvicorn_adapter.stop_server(os.environ.get, 1)
