"""The metrics of all workers of one service, from whichever worker answers the scrape.

Each worker serves its metrics at a Unix socket, named after its process, in a folder that the
supervisor made.
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

TIMEOUT = 1.0
"""Seconds that a worker has to answer; one that does not, because it ends or hangs, is left out."""


class WorkerMetrics:
    """Serves the metrics in `registry` to other workers, and reads those of all workers."""

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder = folder
        self._registry = registry

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Send this worker's metrics to every process that connects."""
        path = self._folder / str(os.getpid())
        server = await asyncio.start_unix_server(self._send, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)

    async def exposition(self) -> bytes:
        """The metrics of all workers in Prometheus's text format, each with the label `worker`."""
        paths = sorted(self._folder.iterdir())
        texts = await asyncio.gather(*map(_read, paths))
        received = {path.name: text for path, text in zip(paths, texts, strict=True) if text}
        registry = CollectorRegistry()
        registry.register(_Merged(received))
        return generate_latest(registry)

    async def _send(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(writer):
            writer.write(generate_latest(self._registry))
            await writer.drain()


async def _read(path: Path) -> str:
    """The metrics of the worker at `path`; empty if only the socket of a killed worker is left."""
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(path)
            with contextlib.closing(writer):
                return (await reader.read()).decode()
    except (OSError, TimeoutError):
        return ""


class _Merged(Collector):
    """The metrics in the texts of several workers, by the workers' names."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for worker, text in self._texts.items():
            for family in text_string_to_metric_families(text):
                merged = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                merged.samples += [
                    sample._replace(labels={**sample.labels, "worker": worker})
                    for sample in family.samples
                ]
        return families.values()
