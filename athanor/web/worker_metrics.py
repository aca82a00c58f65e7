"""Siblings: the workers of one service, behind one port; a scrape that meets one gets the numbers of all.

Each listens at a socket of its own in a folder that their supervisor made, named after its process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

PATIENCE = 1.0
"""Seconds that a sibling has for its answer; one that is ending, or stuck, is left out."""


class WorkerMetrics:
    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder = folder
        self._registry = registry

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Tell our numbers to whoever connects."""
        path = self._folder / str(os.getpid())
        server = await asyncio.start_unix_server(self._tell, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """The numbers of all, in Prometheus's text, each with its `worker`."""
        paths = sorted(self._folder.iterdir())
        texts = await asyncio.gather(*map(_ask, paths))
        told = {path.name: text for path, text in zip(paths, texts, strict=True) if text}
        registry = CollectorRegistry()
        registry.register(_Merged(told))
        return generate_latest(registry)

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            writer.write(generate_latest(self._registry))
            await writer.drain()


async def _ask(path: Path) -> str:
    """What the sibling there tells; nothing, if it was killed and only its socket's name is left."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_unix_connection(path)
            with contextlib.closing(writer):
                return (await reader.read()).decode()
    except (OSError, TimeoutError):
        return ""


class _Merged(Collector):
    def __init__(self, told: dict[str, str]) -> None:
        self._told = told

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for worker, text in self._told.items():
            for family in text_string_to_metric_families(text):
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                merged.samples += [
                    sample._replace(labels={**sample.labels, "worker": worker})
                    for sample in family.samples
                ]
        return families.values()
