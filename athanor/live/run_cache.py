"""The runs this process has met lately, for what is checked without the database."""

from __future__ import annotations

from collections import OrderedDict

from ..domain.commands import found_run, require_running
from ..protocol.records import Run
from ..store import queries
from ..store.store import Store

KEPT = 10_000


class RunCache:
    """Run by id, as the last commit left it; the longest unused are forgotten first."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._runs: OrderedDict[str, Run] = OrderedDict()

    async def running(self, id: str) -> Run:
        """The run, if it is running; asks the database only for one that isn't known."""
        run = self._runs.get(id)
        if run is None or run.status == "pending":  # another process may have started it
            state = await self._store.read(lambda session: queries.find_run(session, id))
            self.learn(found_run(state.run if state else None, id))
            run = self._runs[id]
        require_running(run)
        return run

    def is_running(self, id: str) -> bool:
        """Whether it is known to run."""
        run = self._runs.get(id)
        return run is not None and run.status == "running"

    def is_over(self, id: str) -> bool:
        """Whether it is known to have ended."""
        run = self._runs.get(id)
        return run is not None and run.is_final

    def learn(self, run: Run) -> None:
        """What it is, unless it is known to be further on: what others did comes later than our own."""
        known = self._runs.get(run.id)
        if known is None or known.created_at != run.created_at or _age(known) <= _age(run):
            self._runs[run.id] = run
        self._runs.move_to_end(run.id)
        self._trim()

    def forget_instance(self, instance_id: str | None) -> list[str]:
        """Forget the runs of an instance; their ids."""
        ids = [run.id for run in self._runs.values() if run.instance_id == instance_id]
        for id in ids:
            del self._runs[id]
        return ids

    def _trim(self) -> None:
        while len(self._runs) > KEPT:
            self._runs.popitem(last=False)


def _age(run: Run) -> tuple[bool, bool, bool, int]:
    """How far a run's life has gone; none of it is ever undone."""
    lines = run.log_count + run.result_count
    return run.is_final, run.cancel_requested_at is not None, run.status != "pending", lines
