"""Searches and level filters in a run of a million lines, and in one whose lines are all coloured.

First page: milliseconds until the newest page has arrived. Whole run: seconds until every page has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import msgspec

from tests.support.service import Service, new_run

from .harness import Figures, nodes_alone, report, service_alone

LINES, PART = 1_000_000, 10_000
NEWEST = 2**53 - 1
FILTERS = {
    "frequent": "q=STEP",
    "rare": "q=a rare needle",
    "none": "q=matches nothing",
    "coloured": "q=CUDA out of memory",
    "frequent, warn": "q=step&level=warn",
    "rare, warn and error": "q=a rare needle&level=warn,error",
    "stream": "stream=stderr",
    "warn and error": "level=warn,error",
    "error": "level=error",
    "info and above": "level=info,warn,error",
}


def measure() -> Figures:
    figures: Figures = {}
    with service_alone() as service:
        figures |= _figures("SQLite", service)
    with nodes_alone(1) as (node,):
        figures |= _figures("PostgreSQL", node)
    return figures


def _figures(name: str, service: Service) -> Figures:
    client = service.client()
    figures: Figures = {}
    for kind in ("plain", "coloured"):
        run = new_run(client)
        for lines in parts(kind == "coloured"):
            client.post(f"/runs/{run}/logs", content=lines).raise_for_status()
        figures |= {f"{name}, {kind}: {label}": value for label, value in pages(client, run).items()}
    return figures


def parts(coloured: bool) -> Iterator[bytes]:
    """The lines of a run as bodies of NDJSON."""
    for first in range(1, LINES + 1, PART):
        yield b"\n".join(msgspec.json.encode(_line(n, coloured)) for n in range(first, first + PART))


def _line(n: int, coloured: bool) -> dict[str, object]:
    level = "info"
    message = f"step {n}: loss {1 / n:.6f} throughput {n % 977} samples/s on worker {n % 8}"
    if n % 100 == 0:
        level = "warn"
    if n % 10_000 == 0:
        message, level = "\x1b[31mCUDA\x1b[0m out of memory on worker", "error"
    if n % 100_000 == 17:
        message = "a rare needle"
    if coloured:
        message = f"\x1b[32mINFO\x1b[0m {message} \x1b[1mbold\x1b[0m"
    return {"message": message, "level": level, "metadata": {"stream": "stderr"} if n % 10 == 0 else None}


def pages(client: httpx.Client, run: str) -> Figures:
    """How long the first page takes, and all of them, by filter."""
    figures: Figures = {}
    for label, query in FILTERS.items():
        first = f"/runs/{run}/logs?before={NEWEST}&limit=1000&{query}"
        client.get(first)
        began = time.perf_counter()
        page = client.get(first).json()
        figures[f"{label}, first page, ms"] = 1000 * (time.perf_counter() - began)
        figures[f"{label}, first page, lines"] = len(page["logs"])
        # a frequent match has as many pages as the run
        if "frequent" in label or "info" in label or "stream" in label:
            continue
        slowest, began = 0.0, time.perf_counter()
        following: str | None = first
        while following is not None:
            asked = time.perf_counter()
            following = client.get(following).json()["next"]
            slowest = max(slowest, time.perf_counter() - asked)
        figures[f"{label}, whole run, s"] = time.perf_counter() - began
        figures[f"{label}, slowest page, ms"] = 1000 * slowest
    return figures


if __name__ == "__main__":
    report(__doc__, measure)
