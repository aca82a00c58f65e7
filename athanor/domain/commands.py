"""Changes: everything that can be asked of the ledger, each deciding for itself if it is allowed.

A change either applies wholly or raises before it has touched anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import msgspec

from ..exceptions import Conflict, NotFound, NotRunning
from ..protocol.entries import EncodedEntry
from ..protocol.records import Instance, Run, Status
from .ledger import Ledger, Receipt


@dataclass(slots=True)
class Command:
    """The base. `run_id`, `instance_id` and `key` name what has to be loaded for it."""

    run_id: str | None = None
    instance_id: str | None = None
    key: str | None = None

    exclusive: ClassVar[bool] = False
    """Whether it needs a flush of its own."""

    @property
    def count(self) -> int:
        return 1

    @property
    def size(self) -> int:
        return 1024

    def apply(self, ledger: Ledger) -> Any:
        raise NotImplementedError


@dataclass(slots=True)
class CreateInstance(Command):
    """Gives the new instance; `Conflict` if its id is taken."""

    fields: dict[str, Any] = field(default_factory=dict)

    def apply(self, ledger: Ledger) -> Instance:
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is not None:
            raise Conflict(f"there is an instance {self.instance_id} already")
        return _new_instance(ledger, self.instance_id, self.fields)


@dataclass(slots=True)
class UpdateInstance(Command):
    """Gives the instance, and whether it is new: only `create` makes one where there is none."""

    fields: dict[str, Any] = field(default_factory=dict)
    create: bool = False

    def apply(self, ledger: Ledger) -> tuple[Instance, bool]:
        assert self.instance_id is not None
        instance = ledger.instances[self.instance_id]
        if instance is None:
            if not self.create:
                raise no_instance(self.instance_id)
            return _new_instance(ledger, self.instance_id, self.fields), True
        changed = msgspec.structs.replace(instance, **self.fields)
        if changed != instance:
            changed.updated_at = ledger.now
            ledger.put_instance(changed, created=False)
        return changed, False


@dataclass(slots=True)
class DeleteInstance(Command):
    """Takes its runs with it; `Conflict` while one is running. Pending ones are cancelled first."""

    exclusive: ClassVar[bool] = True

    def apply(self, ledger: Ledger) -> None:
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is None:
            raise no_instance(self.instance_id)
        open_runs = [run for run in ledger.runs.values() if run is not None and not run.is_final]
        for run in open_runs:
            if run.status == "running":
                raise Conflict(f"run {run.id} of instance {self.instance_id} is still running")
        for run in open_runs:
            ledger.move(run, "cancelled")
        ledger.delete_instance(self.instance_id)


@dataclass(slots=True)
class CreateRun(Command):
    """Gives the run, and whether it is new: the same id under the same instance is the same run."""

    metadata: dict[str, Any] = field(default_factory=dict)

    def apply(self, ledger: Ledger) -> tuple[Run, bool]:
        assert self.run_id is not None
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is None:
            raise no_instance(self.instance_id)
        run = ledger.runs[self.run_id]
        if run is None:
            run = Run(
                id=self.run_id,
                instance_id=self.instance_id,
                metadata=self.metadata,
                created_at=ledger.now,
            )
            ledger.create_run(run)
            return run, True
        if run.instance_id != self.instance_id:
            raise Conflict(f"there is a run {run.id} already, of instance {run.instance_id}")
        return run, False


_FROM: dict[Status, tuple[Status, ...]] = {
    "running": ("pending",),
    "completed": ("running",),
    "failed": ("running",),
    "cancelled": ("pending", "running"),
}


@dataclass(slots=True)
class ChangeStatus(Command):
    """Moves a run to `status`; from there, again, changes nothing. Gives the run."""

    status: Status = "running"
    error: str | None = None
    overdue: bool = False
    """Asked by us, since its producer did not answer a cancel request: leave any other run alone."""

    def apply(self, ledger: Ledger) -> Run:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if run.status == self.status:
            return run
        if self.overdue and (run.is_final or run.cancel_requested_at is None):
            return run
        if run.status not in _FROM[self.status]:
            raise Conflict(f"run {run.id} is {run.status}; from there it can't be {self.status}")
        ledger.move(run, self.status, self.error)
        return run


@dataclass(slots=True)
class RequestCancel(Command):
    """Asks a running run to end; a pending one ends at once. Gives the run."""

    def apply(self, ledger: Ledger) -> Run:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if run.status == "pending":
            ledger.move(run, "cancelled")
        elif run.status == "running":
            if run.cancel_requested_at is None:
                ledger.request_cancel(run)
        elif run.status != "cancelled":
            raise Conflict(f"run {run.id} is {run.status}; it can't be cancelled any more")
        return run


@dataclass(slots=True)
class AppendEntries(Command):
    """Adds lines to a running run. Gives a `Receipt`, the first one if its key was seen before."""

    lines: list[EncodedEntry] = field(default_factory=list)
    bytes: int = 0

    @property
    def count(self) -> int:
        return max(1, len(self.lines))

    @property
    def size(self) -> int:
        return self.bytes

    def apply(self, ledger: Ledger) -> Receipt:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if self.key is not None:
            earlier = ledger.receipts.get((run.id, self.key))
            if earlier is not None:
                return earlier._replace(replayed=True)
        require_running(run)
        last = ledger.append(run, self.lines) if self.lines else None
        receipt = Receipt(len(self.lines), last, run.cancel_requested_at is not None)
        if self.key is not None:
            ledger.receipts[run.id, self.key] = ledger.new_receipts[run.id, self.key] = receipt
        return receipt


def no_instance(id: str) -> NotFound:
    return NotFound(f"there is no instance {id}")


def found_run(run: Run | None, id: str) -> Run:
    if run is None:
        raise NotFound(f"there is no run {id}")
    return run


def require_running(run: Run) -> None:
    if run.status != "running":
        hint = "; start it first" if run.status == "pending" else ""
        raise NotRunning(f"run {run.id} is {run.status}, not running{hint}")


def _new_instance(ledger: Ledger, id: str, fields: dict[str, Any]) -> Instance:
    instance = Instance(id=id, created_at=ledger.now, updated_at=ledger.now, **fields)
    ledger.put_instance(instance, created=True)
    return instance


def _as_it_is_now(answer: Any) -> Any:
    """A run's copy: the run itself goes on changing with the changes behind this one."""
    if isinstance(answer, Run):
        return msgspec.structs.replace(answer)
    if isinstance(answer, tuple) and isinstance(answer[0], Run):
        return (msgspec.structs.replace(answer[0]), *answer[1:])
    return answer


Decision = tuple[Literal[True], Any] | tuple[Literal[False], Exception]
"""What became of a change: its answer, or why it was refused."""


def decide(ledger: Ledger, changes: list[Command]) -> list[Decision]:
    """Apply changes, each to what those before it left.

    Lines of one run are put together, up to that run's next change of another kind, so that one
    flush's lines of a run are one event and a stream can be resumed after any event.
    """
    decisions: dict[int, Decision] = {}
    waiting: dict[str, list[int]] = {}

    def settle(number: int) -> None:
        try:
            decisions[number] = (True, _as_it_is_now(changes[number].apply(ledger)))
        except (NotFound, Conflict) as refusal:
            decisions[number] = (False, refusal)

    for number, change in enumerate(changes):
        if isinstance(change, AppendEntries):
            assert change.run_id is not None
            waiting.setdefault(change.run_id, []).append(number)
            continue
        for earlier in waiting.pop(change.run_id or "", ()):
            settle(earlier)
        settle(number)
    for numbers in waiting.values():
        for number in numbers:
            settle(number)
    return [decisions[number] for number in range(len(changes))]
