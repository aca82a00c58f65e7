"""Upgrades of databases that earlier versions made."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from athanor import Athanor, ConfigurationError, Settings
from athanor.protocol.entries import ResultInput
from athanor.protocol.metrics import Curve, Metric
from athanor.store import metrics
from athanor.store.store import Store
from athanor.store.upgrades import SCHEMA

from ..support import postgres, version_2
from ..support.version_2 import Entries

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "sqlite":
        return Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")
    return Settings(database_url=request.getfixturevalue("database"))


async def plain_sql(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    if settings.sqlite_path is None:
        name = settings.database_url.rpartition("/")[2]
        return await asyncio.to_thread(postgres.run_sql, sql, name)
    with contextlib.closing(sqlite3.connect(settings.sqlite_path)) as connection:
        return connection.execute(sql).fetchall()


def results() -> dict[str, list[tuple[str, Any, Any]]]:
    """Key, value and step of the results of two runs."""
    odd = ["NaN", "text", -math.pi, 10**17 + 1, None]
    return {
        "a": [("loss", math.sin(at), at) for at in range(5000)]
        + [("nul\0key", odd[at % 5], None) for at in range(300)],
        "b": [(f"key{at % 7}", at, at // 7) for at in range(1000)],
        "empty": [],
    }


def entries() -> dict[str, Entries]:
    log = ("run_log", {"level": "info", "message": "x", "metadata": None})
    return {
        run_id: [
            *([log] * 3),
            *(("run_result", {"key": key, "value": value, "step": step}) for key, value, step in of),
        ]
        for run_id, of in results().items()
    }


async def known(athanor: Athanor) -> tuple[dict[str, list[Metric]], list[Curve]]:
    """All metrics, and some curves; means are rounded, as their last digits depend on the flushes."""
    found = {run_id: (await athanor.metrics(run_id)).items for run_id in results()}
    page = await athanor.curves(["a", "b"], ["loss", "nul\0key", "key3"], points=100)
    for curve in page.curves:
        curve.buckets = [
            bucket._replace(mean=round(bucket.mean or 0, 9)) for bucket in curve.buckets or ()
        ]
    return found, page.curves


async def test_a_database_of_version_2_gets_the_metrics_of_its_results(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "SLICE_ROWS", 700)
    await version_2.make(settings, entries())
    with caplog.at_level("INFO", "athanor"):
        async with Athanor(settings) as athanor:
            upgraded = await known(athanor)
            # what comes later goes on from there
            await athanor.append("b", [ResultInput(key="key0", value=5000, step=9) for _ in range(100)])
            (metric, *_) = (await athanor.metrics("b")).items
            assert (metric.key, metric.points, metric.greatest) == ("key0", 243, 5000)
    assert [record.message for record in caplog.records if "metrics" in record.message] == [
        "upgrading the database: reading up to 6300 results for their metrics",
        "the database is upgraded: it has the metrics of 6300 results",
    ]
    async with Athanor(Settings(database_url=f"sqlite:///{tmp_path / 'new.db'}")) as athanor:
        await athanor.create_instance("x", id="i")
        for run_id, of in results().items():
            await athanor.create_run("i", id=run_id)
            await athanor.start_run(run_id)
            reports = [ResultInput(key=key, value=value, step=step) for key, value, step in of]
            for start in range(0, len(reports), 900):
                await athanor.append(run_id, reports[start : start + 900])
        assert await known(athanor) == upgraded
    version = "SELECT value FROM meta WHERE key = 'version'"
    assert await plain_sql(settings, version) == [(str(SCHEMA.version),)]


async def test_an_upgrade_that_fails_half_way_changes_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await version_2.make(settings, entries())
    fold, calls = metrics.add_results, 0

    async def failing(*given: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError("the disk is gone")
        await fold(*given)

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "SLICE_ROWS", 700)
        patch.setattr(metrics, "add_results", failing)
        with pytest.raises(ConfigurationError, match="the disk is gone"):
            await Store(settings).open()
    assert await plain_sql(settings, "SELECT value FROM meta WHERE key = 'version'") == [("2",)]
    with pytest.raises((sqlite3.OperationalError, asyncpg.UndefinedTableError)):
        await plain_sql(settings, "SELECT * FROM metrics")
    async with Athanor(settings) as athanor:
        assert [metric.points for metric in (await athanor.metrics("a")).items] == [5000, 180]
