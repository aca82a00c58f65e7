"""Fixtures: a service of the test's own, or one shared by tests that only need some service."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from .support import plain, postgres
from .support.browser import browser, lone_tab, tab, tabs
from .support.leftovers import (
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_teardown,
)
from .support.scripts import Scripts, scripts_in
from .support.service import Service, running

__all__ = [
    # fixtures too
    "browser",
    "lone_tab",
    # and hooks
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_teardown",
    "tab",
    "tabs",
]

# each of a thousand processes that tests start would compile all that it imports: seconds of CPU
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# a shell that starts us with `&` has us ignore Ctrl-C, and with us all that tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of this test's own."""
    with running(tmp_path) as service:
        yield service


THE_CONTRACT = {
    *("bad_input", "instances", "liveness", "metrics", "payloads", "run_changes", "runs", "searches"),
    "status",
    "streams",
}
"""What is tested over HTTP on each database; the rest is the same code on the other side of it."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    contract = metafunc.module.__name__.rpartition("test_")[2] in THE_CONTRACT
    if contract and "shared_service" in metafunc.fixturenames:
        databases = ["sqlite", "postgresql"]
        metafunc.parametrize("shared_service", databases, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each worker of xdist gets a part, which begins with long ones, so that none is left for the end."""
    parts = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if item not in long]
    edges = [part * len(rest) // parts for part in range(parts + 1)]
    items.clear()
    for part in range(parts):
        items += long[part::parts] + rest[edges[part] : edges[part + 1]]


@pytest.fixture(scope="session")
def shared_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Service]]:
    """A service on each kind of database, which starts when it is needed and stays."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def on(database: str) -> Service:
            settings: dict[str, Any] = {}
            if database == "postgresql":
                settings["database_url"] = stack.enter_context(_new_database())
            return stack.enter_context(running(tmp_path_factory.mktemp("shared"), **settings))

        yield on


@pytest.fixture(scope="session")
def shared_service(request: pytest.FixtureRequest, shared_services: Callable[[str], Service]) -> Service:
    """One service for all tests that neither stop it nor count what is in it."""
    return shared_services(getattr(request, "param", "sqlite"))


@pytest.fixture
def client(shared_service: Service) -> Iterator[httpx.Client]:
    with plain.client(base_url=shared_service.url) as client:
        yield client


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    """Makes producers' scripts, each in a folder of its own."""
    with scripts_in(tmp_path) as scripts:
        yield scripts


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server, where there is one."""
    with _new_database() as url:
        yield url


@pytest.fixture(scope="module")
def shared_database() -> Iterator[str]:
    """The same, for a module's tests."""
    with _new_database() as url:
        yield url


@pytest.fixture
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL server of this test's own, which it may stop and start."""
    _need(postgres.programs() is not None, "PostgreSQL to start a server of")
    with postgres.new_server() as server:
        yield server


@pytest.fixture
def need() -> Callable[[bool, str], None]:
    """Skip with a reason where something is not on this machine; fail if all has to be there."""
    return _need


@contextlib.contextmanager
def _new_database() -> Iterator[str]:
    _need(postgres.answers(), f"PostgreSQL at {postgres.SERVER}")
    with postgres.new_database() as url:
        yield url


def _need(found: bool, what: str) -> None:
    if found:
        return
    if os.environ.get("ATHANOR_TEST_ALL") == "1":
        pytest.fail(f"ATHANOR_TEST_ALL=1, and there is no {what}")
    pytest.skip(f"there is no {what} on this machine")
