"""Lines acknowledged by one node on PostgreSQL, beside `COPY` of the same rows alone."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import Iterator
from functools import partial

import asyncpg

from athanor import Settings
from athanor.store.store import Store
from tests.support.postgres import answers, new_database
from tests.support.service import new_run

from .harness import Figures, cpu_seconds, nodes_alone
from .ingest import CONNECTIONS, LINES, REQUESTS, TOTAL, TRANSACTION, post_all, rows_of
from .measurement import Measurement, Party, Scale, Target

FIGURE = "lines per second"
RUNS = [f"1a209f641629304{number:02}d882" for number in range(8)]
"""Rows of one run would be written faster: PostgreSQL finds the end of an index at once."""


def through_athanor(requests: int) -> Figures:
    total = LINES * CONNECTIONS * requests
    with nodes_alone(1) as (node,):
        client = node.client()
        runs = [new_run(client) for _ in RUNS]
        cpu, began = cpu_seconds(node), time.perf_counter()
        asyncio.run(post_all(node.port, runs, requests))
        seconds, cpu = time.perf_counter() - began, cpu_seconds(node) - cpu
        assert sum(client.get(f"/runs/{id}").json()["log_count"] for id in runs) == total
    return {FIGURE: total / seconds, "lines per CPU second of the node": total / cpu}


def through_copy(transactions: int) -> Figures:
    """Rows of eight runs, ready as text, into the same table, 20,000 in a transaction."""

    async def copy(url: str) -> float:
        store = Store(Settings(database_url=url))
        await store.open()
        await store.close()
        connection = await asyncpg.connect(url)
        columns = ["n", "type", "instance_id", "run_id", "seq", "label", "size", "data"]
        texts = [_text(number) for number in range(transactions)]
        began = time.perf_counter()
        for text in texts:
            await connection.copy_to_table("events", source=io.BytesIO(text), columns=columns)
        seconds = time.perf_counter() - began
        await connection.close()
        return seconds

    with new_database() as url:
        return {FIGURE: transactions * TRANSACTION / asyncio.run(copy(url))}


def _text(number: int) -> bytes:
    """The rows of a transaction; as in a flush, those of a run stand together."""
    lines = []
    each = TRANSACTION // len(RUNS)
    n = number * TRANSACTION
    for run in RUNS:
        for type_, _, _, seq, label, size, data in rows_of(each, number * each):
            n += 1
            lines.append(f"{n}\t{type_}\t\\N\t{run}\t{seq}\t{label}\t{size}\t{data}\n")
    return "".join(lines).encode()


@contextlib.contextmanager
def parties(scale: Scale) -> Iterator[dict[str, Party]]:
    reason = None if answers() else "PostgreSQL does not answer (see ATHANOR_TEST_POSTGRES)"
    yield {
        "Athanor, one node": reason or partial(through_athanor, scale.of(REQUESTS, 1)),
        "COPY alone": reason or partial(through_copy, scale.of(TOTAL // TRANSACTION, 3)),
    }


MEASUREMENT = Measurement(
    name="postgresql",
    title="PostgreSQL: lines acknowledged by one node",
    text=(
        "As the ingest above, for eight runs, on PostgreSQL. COPY writes the same rows into the same "
        "table with the same indexes. The server's processes share the cores with the node and with "
        "the client."
    ),
    parties=parties,
    targets=[
        Target(
            "lines acknowledged per second, times the rows of COPY",
            lambda turn: turn["Athanor, one node"][FIGURE] / turn["COPY alone"][FIGURE],
            least=0.6,
        )
    ],
    plotted=[FIGURE],
)
