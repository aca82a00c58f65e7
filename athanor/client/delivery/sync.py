"""Syncing: what processes left in spools is delivered, run by run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...exceptions import AthanorError
from ..notices import Notices
from .api import RunApi, RunEnded, Unavailable
from .spool import End, Spool, SpoolInUse

WITHOUT_A_WORD = "the process ended without a word"
"""The error of a run whose process could not say how it ended."""

Moved = Callable[[int], None]


@dataclass
class Outcome:
    """What came of the spools of a folder."""

    lines: int = 0
    """Delivered."""
    runs: set[str] = field(default_factory=set)
    """Those they were of."""
    in_use: list[Path] = field(default_factory=list)
    """Left alone: the processes that write them are alive, and deliver by themselves."""
    remaining: dict[Path, str] = field(default_factory=dict)
    """Not delivered, and why."""


class Sync:
    """The spools that lie in `folder`, for one pass over them.

    They stay locked until `close`, so nobody else delivers them meanwhile. `url`: where to, instead of
    where they were meant to go. `OSError` if the folder can't be read.
    """

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self._url = url
        self._notices = Notices()
        self._runs: dict[str, list[Spool]] = defaultdict(list)
        self._busy: set[str] = set()
        """Runs of which a process is alive."""
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
        """Bytes that wait."""
        return sum(spool.waiting for spools in self._runs.values() for spool in spools)

    def deliver(self, moved: Moved) -> Outcome:
        """Deliver all of it; `moved` is told the bytes of each group that was. Raises nothing."""
        for run_id, spools in self._runs.items():
            # who began a run ends it, so its lines and its end come behind those of its members
            spools.sort(key=lambda spool: not spool.registration.member)
            for spool in spools:
                try:
                    self._deliver(spool, moved)
                except RunEnded as ended:
                    if spool.next() is None:
                        spool.remove()  # its process died when all had been said
                        continue
                    self.outcome.remaining[spool.path] = (
                        f"run {run_id} is {ended.status}, and takes nothing behind its end"
                    )
                except (Unavailable, OSError, AthanorError) as error:
                    self.outcome.remaining[spool.path] = str(error)
                    self._busy.add(run_id)  # its end would shut the door on these lines
        return self.outcome

    def _open(self, path: Path) -> None:
        try:
            spool = Spool.open(path)
        except SpoolInUse:
            self.outcome.in_use.append(path)
            self._busy.add(path.name.rpartition("-")[0])
        except FileNotFoundError:
            pass  # its process has just delivered it
        except (OSError, ValueError) as error:
            self.outcome.remaining[path] = str(error)
        else:
            self._runs[spool.registration.run_id].append(spool)

    def _deliver(self, spool: Spool, moved: Moved) -> None:
        registration = spool.registration
        if self._url is not None:
            registration = msgspec.structs.replace(registration, url=self._url)
        delivery = RunApi(registration, self._notices)
        try:
            delivery.register()
            for data in self._groups(spool, delivery):
                moved(len(data))
                self.outcome.lines += data.count(b"\n")
                self.outcome.runs.add(registration.run_id)
            if not registration.member:
                if registration.run_id in self._busy:
                    self.outcome.remaining[spool.path] = (
                        f"run {registration.run_id} goes on in another process; its end waits"
                    )
                    return
                delivery.end(spool.end() or End(end="failed", error=WITHOUT_A_WORD))
                self.outcome.runs.add(registration.run_id)
        finally:
            delivery.close()
        spool.remove()

    @staticmethod
    def _groups(spool: Spool, delivery: RunApi) -> Iterator[bytes]:
        """Each group, once the service has it."""
        while group := spool.next():
            delivery.send(group)
            spool.done()
            yield group.data
