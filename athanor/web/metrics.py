"""Metrics for Prometheus, read from the engine when they are asked for, so that they cost nothing."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from ..engine.athanor import Athanor
from .worker_metrics import WorkerMetrics


class EngineCollector(Collector):
    """An engine's numbers under their Prometheus names."""

    def __init__(self, engine: Athanor) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        engine = self._engine
        up = 0 if engine.trouble else 1
        yield GaugeMetricFamily("athanor_ready", "1 if events are being stored", up)
        if not engine.started:
            return
        stored = CounterMetricFamily("athanor_events", "Events committed, a line each", labels=["type"])
        for type_, count in engine.events_stored.items():
            stored.add_metric([type_], count)
        yield stored
        ring, hub, flusher = engine.ring, engine.hub, engine.flusher
        gauges: tuple[tuple[str, str, float], ...] = (
            ("athanor_ring_lines", "Lines accepted and not yet committed", ring.count),
            ("athanor_ring_bytes", "Their size", ring.size),
            ("athanor_ring_capacity_lines", "Lines the ring can hold", ring.capacity),
            ("athanor_ring_capacity_bytes", "Bytes the ring can hold", ring.max_bytes),
            ("athanor_subscribers", "Open subscriptions", hub.subscribers),
            ("athanor_newest_event", "Number of the newest event broadcast", hub.newest),
        )
        counters: tuple[tuple[str, str, float], ...] = (
            ("athanor_flushes", "Flushes committed", flusher.flushes),
            ("athanor_flush_seconds", "Time spent in them", flusher.seconds),
            (
                "athanor_flush_failures",
                "Flushes that failed and were tried again",
                flusher.failures,
            ),
            ("athanor_frames", "Frames given to subscribers, progress aside", hub.offered),
            ("athanor_overflows", "Slow readers sent back to the database", hub.overflowed),
            ("athanor_replay_pages", "Pages read for replays", engine.source.replays),
            ("athanor_progress", "Progress events published", engine.board.published),
        )
        if engine.relay:
            gauges += (
                ("athanor_listening", "1 if other processes are heard", int(engine.relay.listens)),
                (
                    "athanor_relay_behind",
                    "Events known to be committed and not broadcast here yet",
                    engine.relay.behind,
                ),
            )
            counters += (
                ("athanor_relay_reads", "Reads of what others committed", engine.relay.reads),
                ("athanor_relay_events", "Events in them", engine.relay.events),
                ("athanor_listener_reconnects", "Times the bell was lost", engine.relay.reconnects),
            )
        for name, text, value in gauges:
            yield GaugeMetricFamily(name, text, value)
        for name, text, value in counters:
            yield CounterMetricFamily(name, text, value)


def registry_of(engine: Athanor) -> CollectorRegistry:
    """A registry of the engine's own: a process may have several engines, and a host its metrics."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    ProcessCollector(registry=registry)
    return registry


async def get_metrics(request: Request) -> Response:
    state = request.app.state
    siblings: WorkerMetrics | None = getattr(state, "siblings", None)
    body = await siblings.exposition() if siblings else generate_latest(state.metrics)
    return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})
