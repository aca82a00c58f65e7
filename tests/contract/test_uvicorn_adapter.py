"""The undocumented parts of uvicorn that `web/uvicorn_adapter.py` uses."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import SIGNALS, Process

from athanor.web import uvicorn_adapter


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


def test_other_handlers_are_no_servers() -> None:
    assert not uvicorn_adapter.stop_server(signal.default_int_handler, 1)
    assert not uvicorn_adapter.stop_server(os.environ.get, 1)
