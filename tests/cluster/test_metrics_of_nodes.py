"""Two processes that store results of the same run keep its metrics together."""

from __future__ import annotations

import asyncio
import json
import math

import pytest

from athanor import Athanor, Settings
from athanor.protocol.entries import ResultInput
from athanor.protocol.pages import EntryFilter

pytestmark = pytest.mark.anyio


async def test_two_nodes_that_write_the_same_run_lose_no_point(database: str) -> None:
    settings = Settings(database_url=database, flush_interval=0.01)
    async with Athanor(settings) as one, Athanor(settings) as other:
        await one.create_instance("x", id="i")
        await one.create_run("i", id="r")
        await one.start_run("r")

        async def produce(node: Athanor, number: int) -> None:
            for at in range(60):
                reports = [
                    ResultInput(key=key, value=math.sin(at * 7 + step), step=at * 7 + step)
                    for step in range(1 + at % 7)
                    for key in ("shared", f"own{number}")
                ]
                await node.append("r", reports)

        await asyncio.gather(*(produce(node, at) for at, node in enumerate((one, other, one))))
        page = await other.entries("r", EntryFilter("run_result"), 10_000)
        results = [json.loads(item) for item in page.items]
        metrics = {metric.key: metric for metric in (await other.metrics("r")).items}
        assert list(metrics) == ["own0", "own1", "own2", "shared"]
        for key, metric in metrics.items():
            mine = [result for result in results if result["key"] == key]
            values = [result["value"] for result in mine]
            assert metric.count == metric.points == len(mine)
            assert (metric.least, metric.greatest, metric.last) == (min(values), max(values), values[-1])
            (curve,) = (await one.curves(["r"], [key], points=10_000)).curves
            assert curve.y == values
            assert curve.x == [result["step"] for result in mine]


async def test_a_run_that_another_node_created_again_begins_anew(database: str) -> None:
    settings = Settings(database_url=database)
    async with Athanor(settings) as one, Athanor(settings) as other:
        await one.create_instance("x", id="i")
        for node in (one, other, one):
            await node.create_run("i", id="r")
            await node.start_run("r")
            for writer in (one, other):
                await writer.append("r", [ResultInput(key="loss", value=1) for _ in range(100)])
            (metric,) = (await one.metrics("r")).items
            assert (metric.count, metric.last_step) == (200, 199)
            await other.complete_run("r")
            await other.delete_run("r")
