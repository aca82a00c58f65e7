"""The metrics for Prometheus, read from the engine only when they are requested."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from ..engine.athanor import Athanor
from ..engine.statistics import Statistics
from .worker_metrics import WorkerMetrics


class EngineCollector(Collector):
    """The statistics of an engine under their Prometheus names."""

    def __init__(self, engine: Athanor) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Metric]:
        ready = 0 if self._engine.unready_reason else 1
        yield GaugeMetricFamily("athanor_ready", "1 if events are stored and shown", ready)
        refused = CounterMetricFamily(
            "athanor_refused", "Clients and requests refused or cut off, by reason", labels=["reason"]
        )
        for reason, count in self._engine.refusals.counts.items():
            refused.add_metric([reason], count)
        yield refused
        if not self._engine.started:
            return
        now = self._engine.statistics()
        stored = CounterMetricFamily("athanor_events", "Events committed, by type", labels=["type"])
        for type_, count in now.events_stored.items():
            stored.add_metric([type_], count)
        yield stored
        yield from (GaugeMetricFamily(*gauge) for gauge in _gauges(now))
        yield from (CounterMetricFamily(*counter) for counter in _counters(now))


def _gauges(now: Statistics) -> list[tuple[str, str, float]]:
    gauges: list[tuple[str, str, float]] = [
        ("athanor_ring_lines", "Entries accepted and not yet committed", now.ring_entries),
        ("athanor_ring_bytes", "Size of these entries", now.ring_bytes),
        ("athanor_ring_capacity_lines", "Entries that the ring can hold", now.ring_capacity),
        ("athanor_ring_capacity_bytes", "Bytes that the ring can hold", now.ring_max_bytes),
        ("athanor_subscribers", "Open subscriptions", now.subscribers),
        ("athanor_backlog_bytes", "Bytes that wait for clients that read slowly", now.backlog_bytes),
        ("athanor_newest_event", "Number of the newest event broadcast", now.newest_event),
    ]
    if relay := now.relay:
        gauges += [
            ("athanor_listening", "1 if notifications from peers are received", relay.is_listening),
            ("athanor_relay_behind", "Events committed and not yet broadcast here", relay.lag),
        ]
    return gauges


def _counters(now: Statistics) -> list[tuple[str, str, float]]:
    counters: list[tuple[str, str, float]] = [
        ("athanor_flushes", "Flushes committed", now.flushes),
        ("athanor_flush_seconds", "Time spent in these flushes", now.flush_seconds),
        ("athanor_flush_failures", "Flushes that failed and were tried again", now.flush_failures),
        ("athanor_frames", "Frames put into inboxes, without progress", now.frames),
        ("athanor_overflows", "Slow subscribers that had to replay from the database", now.overflows),
        ("athanor_replay_pages", "Pages read for replays", now.replay_pages),
        ("athanor_progress", "Progress events published", now.progress_published),
    ]
    if relay := now.relay:
        counters += [
            ("athanor_relay_reads", "Reads of events that peers committed", relay.reads),
            ("athanor_relay_events", "Events in these reads", relay.events),
            ("athanor_listener_reconnects", "Times the listener reconnected", relay.reconnects),
        ]
    return counters


def registry_of(engine: Athanor) -> CollectorRegistry:
    """A registry for one engine: a process may have several engines, and metrics of its own."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(engine))
    ProcessCollector(registry=registry)
    return registry


async def get_metrics(request: Request) -> Response:
    app = request.app
    workers: WorkerMetrics | None = getattr(app, "worker_metrics", None)
    body = await workers.exposition() if workers else generate_latest(app.metrics)
    return Response(body, headers={"content-type": CONTENT_TYPE_LATEST})
