"""Commands: everything that can change the state. Each decides for itself whether it is allowed.

A command either applies as a whole, or raises before it has changed anything.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from ..exceptions import Conflict, NotFound, NotRunning, TooLarge
from ..protocol.entries import EncodedEntry
from ..protocol.raw import EMPTY, bounded, merged, same, size_of
from ..protocol.records import Run, Status
from ..protocol.stored import StoredInstance, StoredRun
from .ledger import Ledger, Receipt

T = TypeVar("T")
Work = Generator[None, None, T]
"""Work that yields wherever it may pause, and returns its outcome."""
STEP = 1000
"""Entries that are numbered between two pauses: some 0.5 ms."""


@dataclass(slots=True)
class Command:
    """The base. `run_id`, `instance_id` and `key` name what the store must load for it."""

    run_id: str | None = None
    instance_id: str | None = None
    key: str | None = None
    weight: int = 0
    """Bytes of the run, or of what changes in it: they become a row and an event."""

    exclusive: ClassVar[bool] = False
    """Whether it needs a flush for itself."""

    @property
    def count(self) -> int:
        """Entries, for the bounds of the ring."""
        return 1

    @property
    def size(self) -> int:
        """Bytes, for the bounds of the ring."""
        return 1024 + self.weight

    def apply(self, ledger: Ledger) -> Any:
        """Change the ledger; returns the answer.

        Raises `NotFound`, `Conflict` or `TooLarge` if that is not allowed.
        """
        raise NotImplementedError

    def applying(self, ledger: Ledger) -> Work[Any]:
        """As `apply`, with pauses."""
        answer = self.apply(ledger)
        yield
        return answer


@dataclass(slots=True)
class CreateInstance(Command):
    """Returns the new instance. Raises `Conflict` if its id is taken."""

    fields: dict[str, Any] = field(default_factory=dict)

    def apply(self, ledger: Ledger) -> StoredInstance:
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is not None:
            raise Conflict(f"there is an instance {self.instance_id} already")
        return _new_instance(ledger, self.instance_id, self.fields)


@dataclass(slots=True)
class UpdateInstance(Command):
    """Returns the instance, and whether it is new; only with `create` may it be new."""

    fields: dict[str, Any] = field(default_factory=dict)
    create: bool = False

    def apply(self, ledger: Ledger) -> tuple[StoredInstance, bool]:
        assert self.instance_id is not None
        instance = ledger.instances[self.instance_id]
        if instance is None:
            if not self.create:
                raise no_instance(self.instance_id)
            return _new_instance(ledger, self.instance_id, self.fields), True
        changed = msgspec.structs.replace(instance, **self.fields)
        if same(changed.configuration, instance.configuration):
            changed.configuration = instance.configuration
        if changed != instance:
            changed.updated_at = ledger.now
            ledger.put_instance(changed, created=False)
        return changed, False


@dataclass(slots=True)
class DeleteInstance(Command):
    """Deletes an instance and its runs, after it cancelled the pending ones.

    Raises `Conflict` while a run is running.
    """

    exclusive: ClassVar[bool] = True

    def applying(self, ledger: Ledger) -> Work[None]:
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is None:
            raise no_instance(self.instance_id)
        open_runs = [run for run in ledger.runs.values() if run is not None and not run.is_final]
        for run in open_runs:
            if run.status == "running":
                raise Conflict(f"run {run.id} of instance {self.instance_id} is still running")
        for run in open_runs:
            ledger.set_status(run, "cancelled")
            yield
        ledger.delete_instance(self.instance_id)


@dataclass(slots=True)
class CreateRun(Command):
    """Returns the run, and whether it is new: the same id in the same instance is the same run."""

    metadata: msgspec.Raw = field(default_factory=lambda: EMPTY)

    def apply(self, ledger: Ledger) -> tuple[StoredRun, bool]:
        assert self.run_id is not None
        assert self.instance_id is not None
        if ledger.instances[self.instance_id] is None:
            raise no_instance(self.instance_id)
        run = ledger.runs[self.run_id]
        if run is None:
            run = StoredRun(
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


_ALLOWED_FROM: dict[Status, tuple[Status, ...]] = {
    "running": ("pending",),
    "completed": ("running",),
    "failed": ("running",),
    "cancelled": ("pending", "running"),
}


@dataclass(slots=True)
class ChangeStatus(Command):
    """Sets a run's status, and returns the run; nothing happens if it has that status already."""

    status: Status = "running"
    error: str | None = None
    overdue: bool = False
    """Sent by the service for a cancel request without an answer: other runs stay as they are."""

    def apply(self, ledger: Ledger) -> StoredRun:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if run.status == self.status:
            return run
        if self.overdue and (run.is_final or run.cancel_requested_at is None):
            return run
        if run.status not in _ALLOWED_FROM[self.status]:
            raise Conflict(f"run {run.id} is {run.status}; from there it can't be {self.status}")
        ledger.set_status(run, self.status, self.error)
        return run


@dataclass(slots=True)
class UpdateRun(Command):
    """Merges `patch` into a run's metadata, and returns the run; nothing happens without a change.

    Raises `TooLarge` if the metadata grew beyond its bound.
    """

    patch: msgspec.Raw = field(default_factory=lambda: EMPTY)

    def apply(self, ledger: Ledger) -> StoredRun:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        metadata = merged(run.metadata, self.patch)
        if not same(metadata, run.metadata):
            # that of an older version may be larger, and may shrink
            ledger.update_run(run, bounded(metadata, "$.metadata", size_of(run.metadata)))
        return run


@dataclass(slots=True)
class DeleteRun(Command):
    """Deletes a run, after it cancelled a pending one. Raises `Conflict` while it is running."""

    exclusive: ClassVar[bool] = True

    def apply(self, ledger: Ledger) -> None:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if run.status == "running":
            raise Conflict(f"run {run.id} is still running; cancel it first")
        if run.status == "pending":
            ledger.set_status(run, "cancelled")
        ledger.delete_run(run)


@dataclass(slots=True)
class RequestCancel(Command):
    """Asks a running run to end, and cancels a pending one at once; returns the run."""

    def apply(self, ledger: Ledger) -> StoredRun:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if run.status == "pending":
            ledger.set_status(run, "cancelled")
        elif run.status == "running":
            if run.cancel_requested_at is None:
                ledger.request_cancel(run)
        elif run.status != "cancelled":
            raise Conflict(f"run {run.id} is {run.status}; it can't be cancelled any more")
        return run


@dataclass(slots=True)
class AppendEntries(Command):
    """Adds entries to a running run; returns a `Receipt`, the first one if its key was used before."""

    entries: list[EncodedEntry] = field(default_factory=list)
    bytes: int = 0

    @property
    def count(self) -> int:
        return max(1, len(self.entries))

    @property
    def size(self) -> int:
        return self.bytes

    def applying(self, ledger: Ledger) -> Work[Receipt]:
        assert self.run_id is not None
        run = found_run(ledger.runs[self.run_id], self.run_id)
        if self.key is not None:
            earlier = ledger.receipts.get((run.id, self.key))
            if earlier is not None:
                return earlier._replace(replayed=True)
        require_running(run)
        last = None
        for first in range(0, len(self.entries), STEP):
            last = ledger.append(run, self.entries[first : first + STEP])
            yield
        receipt = Receipt(len(self.entries), last, run.cancel_requested_at is not None)
        if self.key is not None:
            ledger.receipts[run.id, self.key] = ledger.new_receipts[run.id, self.key] = receipt
        return receipt


def no_instance(id: str) -> NotFound:
    return NotFound(f"there is no instance {id}")


def found_run(run: StoredRun | None, id: str) -> StoredRun:
    if run is None:
        raise NotFound(f"there is no run {id}")
    return run


def require_running(run: Run) -> None:
    if run.status != "running":
        hint = "; start it first" if run.status == "pending" else ""
        raise NotRunning(f"run {run.id} is {run.status}, not running{hint}")


def _new_instance(ledger: Ledger, id: str, fields: dict[str, Any]) -> StoredInstance:
    instance = StoredInstance(id=id, created_at=ledger.now, updated_at=ledger.now, **fields)
    ledger.put_instance(instance, created=True)
    return instance


def _snapshot(answer: Any) -> Any:
    """A copy of a run: later commands of the same flush change the original."""
    if isinstance(answer, Run):
        return msgspec.structs.replace(answer)
    if isinstance(answer, tuple) and isinstance(answer[0], Run):
        return (msgspec.structs.replace(answer[0]), *answer[1:])
    return answer


Decision = tuple[Literal[True], Any] | tuple[Literal[False], Exception]
"""The outcome of a command: true and its answer, or false and the error that refused it."""


def deciding(ledger: Ledger, commands: list[Command]) -> Work[list[Decision]]:
    """Apply commands in order, each to the state that the ones before it left, with pauses.

    The entries of a run are put together, up to that run's next command of another kind. So the
    entries of one flush are one event, and a stream can be resumed after any event.
    """
    decisions: dict[int, Decision] = {}
    waiting: dict[str, list[int]] = {}

    def settle(number: int) -> Work[None]:
        try:
            answer = yield from commands[number].applying(ledger)
            decisions[number] = (True, _snapshot(answer))
        except (NotFound, Conflict, TooLarge) as refusal:
            decisions[number] = (False, refusal)

    for number, command in enumerate(commands):
        if isinstance(command, AppendEntries):
            assert command.run_id is not None
            waiting.setdefault(command.run_id, []).append(number)
            continue
        for earlier in waiting.pop(command.run_id or "", ()):
            yield from settle(earlier)
        yield from settle(number)
    for numbers in waiting.values():
        for number in numbers:
            yield from settle(number)
    return [decisions[number] for number in range(len(commands))]
