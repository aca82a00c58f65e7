"""A clock that is set back: numbers grow all the same, and nothing is lost, doubled or stale."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import httpx
import pytest

from ..support.cluster import Cluster
from ..support.load import Load, number_of, under_load
from ..support.service import ROOT, new_run, running
from .schedule import rounds

pytestmark = pytest.mark.anyio

HOURS = 20
"""Less than idempotency keys are remembered for: they end by the wall clock."""


def has_time(client: httpx.Client, shift: float) -> str:
    """A new run, whose id and time are those of the shifted clock."""
    run = new_run(client)
    created = datetime.fromisoformat(client.get(f"/runs/{run}").json()["created_at"])
    expected = datetime.now(UTC) + timedelta(seconds=shift)
    assert abs(created - expected) < timedelta(minutes=2)
    assert abs(int(run[:11], 16) / 1000 - expected.timestamp()) < 120
    return run


def is_past(load: Load, number: int) -> bool:
    return load.newest > number


@pytest.mark.long
async def test_a_clock_that_is_set_back_loses_nothing(tmp_path: Path, chance: Random) -> None:
    clock = tmp_path / "clock"
    # it goes back and forth, but not below where the service began
    clock.write_text(str(-HOURS * 3600))
    with running(tmp_path, program=ROOT / "tests/faults/shifted_app.py") as service:
        client = service.client()
        created = []
        async with under_load(Cluster([service]), chance, killed=True) as load:
            for _ in range(rounds(6, 100)):
                shift = -chance.uniform(60, HOURS * 3600)
                # never empty for the service, which reads it at any time
                later = tmp_path / "later"
                later.write_text(str(shift))
                later.replace(clock)
                created.append(await asyncio.to_thread(has_time, client, shift))
                before = load.newest
                await load.more(chance.randint(1, 20))
                # a reader may have been shown already what is acknowledged now
                await load.until(partial(is_past, load, before))
                # the run of the round before is silent, but not for a minute
                for run in [*load.runs, *created[-2:]]:
                    assert not client.get(f"/runs/{run}").json()["stale"]
                if chance.random() < 0.3:
                    service.kill()
                    told = load.newest
                    await asyncio.to_thread(service.start)
                    stored = client.get("/instances").json()["last_event_id"]
                    assert number_of(stored) >= told
        runs = client.get("/runs?limit=1000").json()["runs"]
        listed = [run["id"] for run in runs]
        assert sorted(listed) == sorted(load.runs + created)
        pages = []
        path: str | None = "/runs?limit=2"
        while path:
            page = client.get(path).json()
            pages += [run["id"] for run in page["runs"]]
            path = page["next"]
        assert pages == listed
