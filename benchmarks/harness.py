"""Shared by the benchmarks: services on their own cores, what they cost, and the report."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil

from tests.support.cluster import Cluster
from tests.support.postgres import new_database
from tests.support.service import Service, running

Figures = dict[str, float]

OPEN_FILES = 20_000


class HasPid(Protocol):
    """A process: a service of ours, or one that it is measured beside."""

    @property
    def pid(self) -> int: ...


@contextlib.contextmanager
def service_alone(**settings: Any) -> Iterator[Service]:
    """A service on the first core; this process, its client, uses the others."""
    allow_connections()
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), **settings) as service,
        alone([service]),
    ):
        yield service


@contextlib.contextmanager
def nodes_alone(count: int, **settings: Any) -> Iterator[list[Service]]:
    """Nodes on one database, each on a core of its own while the cores suffice."""
    allow_connections()
    with nodes(count, **settings) as cluster, alone(cluster.nodes):
        yield cluster.nodes


@contextlib.contextmanager
def nodes(count: int, **settings: Any) -> Iterator[Cluster]:
    """`count` nodes on an empty PostgreSQL database."""
    with (
        tempfile.TemporaryDirectory() as folder,
        new_database() as url,
        contextlib.closing(Cluster.on(Path(folder), url, count, **settings)) as cluster,
    ):
        cluster.start()
        yield cluster


@contextlib.contextmanager
def alone(services: Sequence[HasPid]) -> Iterator[None]:
    """Bind each service to a core, and this process to the remaining cores, or to all."""
    cores = sorted(os.sched_getaffinity(0))
    for service, core in zip(services, cores, strict=False):
        for process in _processes(service.pid):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, {core})
    os.sched_setaffinity(0, set(cores[len(services) :]) or set(cores))
    try:
        yield
    finally:
        os.sched_setaffinity(0, set(cores))


def allow_connections() -> None:
    """Raise the limit of open files to what thousands of subscribers need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


def cpu_seconds(service: HasPid) -> float:
    """The user and system time of all threads of the service, and of its processes, so far.

    It is the scheduler's, in nanoseconds, where Linux has it; else in ticks of 10 ms.
    """
    total = 0.0
    for process in _processes(service.pid):
        try:
            tasks = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
            total += sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        except (OSError, ValueError, IndexError):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _processes(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def rss_kib(service: HasPid) -> float:
    """The resident set of the service in KiB."""
    return float(psutil.Process(service.pid).memory_info().rss) / 1024


def median_and_range(values: list[float]) -> str:
    median = statistics.median(values)
    digits = 0 if median >= 1000 else 2
    return f"{median:>14,.{digits}f}   ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def report(title: str, measure: Callable[[], Figures], default_repeats: int = 3) -> None:
    """Repeat a measurement, print medians and ranges; `--json FILE` saves the medians."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--repeats", type=int, default=default_repeats)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    runs = [measure() for _ in range(options.repeats)]
    print(title)
    medians: Figures = {}
    for name in runs[0]:
        values = [run[name] for run in runs]
        medians[name] = statistics.median(values)
        print(f"  {name:48} {median_and_range(values)}")
    if options.json:
        options.json.write_text(json.dumps(medians, indent=2))
