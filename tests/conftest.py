"""Fixtures: a service of the test's own, or one shared by tests that only need some service."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from . import postgres
from .browser import browser, tab, tabs
from .scripts import Scripts, scripts_in
from .service import Service, running

__all__ = ["browser", "tab", "tabs"]  # fixtures too


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of this test's own."""
    with running(tmp_path) as service:
        yield service


@pytest.fixture(scope="session")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all tests that neither stop it nor count what is in it."""
    with running(tmp_path_factory.mktemp("shared")) as service:
        yield service


@pytest.fixture
def client(shared_service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shared_service.url, timeout=30) as client:
        yield client


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Scripts]:
    """Makes producers' scripts, each in a folder of its own."""
    with scripts_in(tmp_path) as scripts:
        yield scripts


@pytest.fixture
def database(need: Callable[[bool, str], None]) -> Iterator[str]:
    """The URL of an empty database on a PostgreSQL server, where there is one."""
    need(postgres.answers(), f"PostgreSQL at {postgres.SERVER}")
    with postgres.new_database() as url:
        yield url


@pytest.fixture
def need() -> Callable[[bool, str], None]:
    """Skip with a reason where something is not on this machine; fail if all has to be there."""

    def check(found: bool, what: str) -> None:
        if found:
            return
        if os.environ.get("ATHANOR_TEST_ALL") == "1":
            pytest.fail(f"ATHANOR_TEST_ALL=1, and there is no {what}")
        pytest.skip(f"there is no {what} on this machine")

    return check
