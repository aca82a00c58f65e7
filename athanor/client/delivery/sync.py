"""The delivery of what processes left in spools, run by run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...exceptions import AthanorError
from ..limits import ClientLimits
from ..notices import Notices
from .api import RunApi, RunEnded
from .spool import End, Spool, SpoolInUse

UNKNOWN_END = "the process ended without reporting how"
"""The error of a run whose process died before it could end the run."""

OnDelivered = Callable[[int], None]
"""Called with the bytes of each batch that was delivered."""


@dataclass
class Outcome:
    """The result for the spools of a folder."""

    lines: int = 0
    """Lines of the spools that were delivered: entries."""
    runs: set[str] = field(default_factory=set)
    """The runs they belong to."""
    in_use: list[Path] = field(default_factory=list)
    """Spools that were left alone: the processes that write them are alive, and deliver them."""
    remaining: dict[Path, str] = field(default_factory=dict)
    """Spools that were not delivered, each with the reason."""


class Sync:
    """One pass over the spools in `folder`, which stay locked until the end of the `with` block.

    `url` replaces the address in each spool. Raises `OSError` if the folder can't be read.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self._url = url
        self._notices = Notices()
        self._batch_bytes = ClientLimits().batch_bytes
        self._runs: dict[str, list[Spool]] = defaultdict(list)
        self._busy: set[str] = set()
        """Runs that can't be ended yet: a process is alive, or entries remain."""
        self.outcome = Outcome()
        for path in sorted(folder.glob("*.ndjson")):
            self._open(path)

    def __enter__(self) -> Sync:
        return self

    def __exit__(self, *_: object) -> None:
        for spools in self._runs.values():
            for spool in spools:
                spool.close()

    @property
    def size(self) -> int:
        """Bytes that wait for delivery."""
        return sum(spool.waiting for spools in self._runs.values() for spool in spools)

    def deliver(self, on_delivered: OnDelivered) -> Outcome:
        """Deliver all of it. What fails is in `Outcome.remaining`."""
        for run_id, spools in self._runs.items():
            # the process that began a run ends it, so its entries come after those of the members
            spools.sort(key=lambda spool: not spool.registration.member)
            for spool in spools:
                try:
                    self._deliver(spool, on_delivered)
                except RunEnded as ended:
                    if spool.next(self._batch_bytes) is None:
                        # its process died after the run had ended
                        self._remove(spool)
                        continue
                    self.outcome.remaining[spool.path] = (
                        f"run {run_id} is {ended.status}, and takes nothing after its end"
                    )
                except (OSError, AthanorError) as error:
                    self.outcome.remaining[spool.path] = str(error)
                    self._busy.add(run_id)
        return self.outcome

    def _open(self, path: Path) -> None:
        try:
            spool = Spool.open(path)
        except SpoolInUse:
            self.outcome.in_use.append(path)
            self._busy.add(path.name.rpartition("-")[0])
        except FileNotFoundError:
            # its process has just delivered it
            pass
        except (OSError, ValueError) as error:
            self.outcome.remaining[path] = str(error)
        else:
            self._runs[spool.registration.run_id].append(spool)

    def _deliver(self, spool: Spool, on_delivered: OnDelivered) -> None:
        registration = spool.registration
        if spool.is_done:
            self._remove(spool)
            return
        if self._url is not None:
            registration = msgspec.structs.replace(registration, url=self._url)
        api = RunApi(registration, self._notices)
        try:
            api.register()
            for data in self._batches(spool, api):
                on_delivered(len(data))
                self.outcome.lines += data.count(b"\n")
                self.outcome.runs.add(registration.run_id)
            if not registration.member:
                if registration.run_id in self._busy:
                    self.outcome.remaining[spool.path] = (
                        f"run {registration.run_id} goes on in another process; its end waits"
                    )
                    return
                api.end(spool.end() or End(end="failed", error=UNKNOWN_END))
                self.outcome.runs.add(registration.run_id)
        finally:
            api.close()
        self._remove(spool)

    def _remove(self, spool: Spool) -> None:
        if not spool.remove():
            self.outcome.remaining[spool.path] = "all of it is delivered, but it can't be deleted"

    def _batches(self, spool: Spool, api: RunApi) -> Iterator[bytes]:
        """Each batch, once it is delivered."""
        while batch := spool.next(self._batch_bytes):
            api.send(batch)
            spool.done()
            yield batch.data
