"""The runs that this process met lately, for checks that need no database."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from ..domain.commands import found_run, require_running
from ..protocol.bounds import MAX_OBJECT
from ..protocol.raw import EMPTY
from ..protocol.stored import StoredRun
from ..store import queries
from ..store.store import Store


class RunCache:
    """Runs by id, as the last commit left them; `most_runs` at most, the longest unused go first.

    They are kept without their errors and their metadata, which may be large.
    """

    def __init__(self, store: Store, most_runs: int) -> None:
        self._store = store
        self._most_runs = most_runs
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
        self._sizes: dict[str, int] = {}

    async def running(self, id: str) -> StoredRun:
        """The run, which is running, without its metadata.

        Reads the database only for a run that is not in the cache.

        Raises `NotFound`, `NotRunning`, or `DatabaseUnavailable`.
        """
        run = self._runs.get(id)
        # another process may have started a run that is pending here
        if run is None or run.status == "pending":
            record = await self._store.read(lambda session: queries.find_run(session, id))
            self.learn(found_run(record.run if record else None, id))
            run = self._runs[id]
        require_running(run)
        return run

    def is_running(self, id: str) -> bool:
        """Whether the run is known to be running."""
        run = self._runs.get(id)
        return run is not None and run.status == "running"

    def is_over(self, id: str) -> bool:
        """Whether the run is known to have ended."""
        run = self._runs.get(id)
        return run is not None and run.is_final

    def size_of(self, id: str) -> int:
        """About how many bytes an event of the run has; of an unknown run, the most it may have."""
        return self._sizes.get(id, MAX_OBJECT)

    def weigh(self, id: str, size: int) -> None:
        """An event of the run had so many bytes."""
        if id in self._runs:
            self._sizes[id] = size

    def learn(self, run: StoredRun) -> None:
        """Keep a run's state, unless a later one is known: the states of peers arrive late."""
        known = self._runs.get(run.id)
        if known is None or known.created_at != run.created_at or _age(known) <= _age(run):
            self._runs[run.id] = msgspec.structs.replace(run, metadata=EMPTY, error=None)
        self._runs.move_to_end(run.id)
        while len(self._runs) > self._most_runs:
            self.forget(next(iter(self._runs)))

    def forget(self, id: str) -> None:
        self._runs.pop(id, None)
        self._sizes.pop(id, None)

    def forget_instance(self, instance_id: str | None) -> list[str]:
        """Forget the runs of an instance; returns their ids."""
        ids = [run.id for run in self._runs.values() if run.instance_id == instance_id]
        for id in ids:
            self.forget(id)
        return ids


def _age(run: StoredRun) -> tuple[bool, bool, bool, int]:
    """Grows along a run's life, of which no step is ever undone."""
    entries = run.log_count + run.result_count
    return run.is_final, run.cancel_requested_at is not None, run.status != "pending", entries
