"""What a failed test leaves behind ends with it, so that no other test meets it.

A pytest plugin, which `conftest.py` brings. A passing test closes what it opens; one that fails may
leave sockets in the frames of its traceback, which a later test would be blamed for, and processes
that take the processors from the others.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import warnings
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from .follower import Follower
from .producer import Producer

CHILDREN = pytest.StashKey[set[int]]()
HAS_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    # those of fixtures, which may be a module's
    item.stash[CHILDREN] = children()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[HAS_FAILED] = item.stash.get(HAS_FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        stop_threads()
        if item.stash.get(HAS_FAILED, False):
            if CHILDREN in item.stash:
                before = item.stash[CHILDREN]
                kill(children() - before)
            forget_traceback()


def children() -> set[int]:
    """The processes that this one has started, and that have not been waited for."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):
            found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found


def kill(pids: set[int]) -> None:
    """Kill these processes, and those that they have started."""
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for each in [*process.children(recursive=True), process]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def stop_threads() -> None:
    """Followers and producers would go on, at a port that may be another service's soon."""
    for thread in threading.enumerate():
        if isinstance(thread, Follower):
            thread.stopped = True
        elif isinstance(thread, Producer):
            thread.stopping = True


def forget_traceback() -> None:
    """Close what only the frames of the last traceback hold."""
    for name in ("last_exc", "last_value", "last_traceback", "last_type"):
        with contextlib.suppress(AttributeError):
            delattr(sys, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()
