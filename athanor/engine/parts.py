"""The running parts of one engine, built complete or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from ..cluster.peers import Peers
from ..cluster.relay import Relay
from ..config import Limits, Settings
from ..domain.commands import Command
from ..live.broadcaster import Broadcaster, LocalBroadcaster
from ..live.hub import Hub
from ..live.refusals import Refusals
from ..live.replay import Replay
from ..live.runs import RunTracker
from ..live.turns import Turns
from ..protocol.records import Progress
from ..protocol.stored import StoredRun
from ..store import queries
from ..store.store import Store
from .flusher import Flusher, Pending
from .maintenance import Maintenance, keepalive_slots
from .ring import RingBuffer
from .statistics import RelayStatistics, Statistics


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that runs between start and stop. `relay` and `peers` exist on PostgreSQL only."""

    store: Store
    hub: Hub
    runs: RunTracker
    ring: RingBuffer[Pending]
    flusher: Flusher
    maintenance: Maintenance
    replay: Replay
    turns: Turns
    relay: Relay | None
    peers: Peers | None

    @property
    def error(self) -> str | None:
        """Why events are not stored, or not shown, at the moment; None if they are."""
        return self.store.trouble or self.flusher.error or (self.relay.error if self.relay else None)

    async def drain(self, patience: float) -> None:
        """Write and broadcast what is buffered, `patience` seconds at most, and end every stream."""
        if self.hub.closed:
            return
        try:
            async with asyncio.timeout(patience):
                await self.flusher.flushed()
                await self.hub.wait_until_broadcast(self.store.newest)
        except TimeoutError:
            # the callers need their answers while there is a server to send them
            self.flusher.give_up()
        self.hub.close()

    async def stop(self, patience: float) -> None:
        """Write what is left, end every stream, close the database."""
        await self.maintenance.stop()
        await self.flusher.stop(patience)
        self.hub.close()
        if self.relay:
            await self.relay.stop()
        await self.store.close()

    async def submit(self, command: Command) -> Any:
        """Submit a command of a life: wait for room, ask for a flush now, return its answer.

        Raises what refused the command.
        """
        await self.flusher.room_for(command)
        return await self.flusher.submit(command, hurry=True)

    def publish_progress(self, run: StoredRun, progress: Progress) -> None:
        """Show progress to subscribers here, and send it to peers."""
        self.runs.progress.report(run.id, run.instance_id, progress)
        if self.peers:
            self.peers.share_progress(run.id, run.instance_id, progress)

    def beat(self, run_id: str) -> None:
        """Note a sign of life here, and send it to peers."""
        self.runs.liveness.beat(run_id)
        if self.peers:
            self.peers.share_sign_of_life(run_id)

    def statistics(self) -> Statistics:
        ring, hub, flusher, relay = self.ring, self.hub, self.flusher, self.relay
        return Statistics(
            events_stored=dict(flusher.events_stored),
            ring_entries=ring.count,
            ring_bytes=ring.size,
            ring_capacity=ring.capacity,
            ring_max_bytes=ring.max_bytes,
            subscribers=hub.subscribers,
            newest_event=hub.newest,
            flushes=flusher.flushes,
            flush_seconds=flusher.seconds,
            flush_failures=flusher.failures,
            frames=hub.frames_offered,
            overflows=hub.overflows,
            replay_pages=self.replay.pages,
            backlog_bytes=hub.backlog.size,
            progress_published=self.runs.progress.published,
            relay=_relay_statistics(relay) if relay else None,
        )


def _relay_statistics(relay: Relay) -> RelayStatistics:
    return RelayStatistics(relay.is_listening, relay.lag, relay.reads, relay.events, relay.reconnects)


async def start_parts(settings: Settings, limits: Limits, store: Store, refusals: Refusals) -> Parts:
    """Open the store and start the background tasks.

    Raises `DatabaseInUse`, `ConfigurationError` or `DatabaseUnavailable`; nothing runs then.
    """
    await store.open()
    try:
        parts = _assemble(settings, limits, store, refusals)
        for run_id in await store.read(queries.cancel_requested):
            parts.runs.await_cancel(run_id)
    except BaseException:
        await store.close()
        raise
    parts.flusher.start()
    if parts.relay:
        parts.relay.start()
    parts.maintenance.start()
    return parts


def _assemble(settings: Settings, limits: Limits, store: Store, refusals: Refusals) -> Parts:
    turns = Turns(limits.turn_bytes)
    hub = Hub(store.epoch, store.newest, limits, keepalive_slots(settings), refusals, turns)
    runs = RunTracker(store, hub, settings, limits)
    ring: RingBuffer[Pending] = RingBuffer(settings.ring_capacity, settings.ring_bytes)
    peers: Peers | None = None
    relay: Relay | None = None
    if store.shared:
        peers = Peers(store.process, runs.progress, runs.liveness, runs.cache.is_over, limits)
        relay = Relay(store, hub, runs, peers, settings.flush_interval, limits)
    broadcaster: Broadcaster = relay or LocalBroadcaster(hub)
    flusher = Flusher(ring, store, runs, broadcaster, settings.flush_interval, limits)
    replay = Replay(hub, store, runs.progress, settings, limits)
    maintenance = Maintenance(settings, limits, store, flusher, hub, runs, replay.shared)
    return Parts(store, hub, runs, ring, flusher, maintenance, replay, turns, relay, peers)
