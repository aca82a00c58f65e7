"""Gossip: what the processes on one database tell each other, and no table keeps.

Progress and signs of life. Where nobody listens they are lost, as is their nature; a process that
begins to listen asks the others what they know, so that it has every run's bar.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

import msgspec

from ..live.liveness import Liveness
from ..live.progress import ProgressBoard
from ..protocol.records import Progress

logger = logging.getLogger("athanor")

TELL_EVERY = 1.0
"""Seconds between two words on the same signs of life."""
NOTICE_BYTES = 7_500
"""PostgreSQL takes no notice of 8,000 bytes."""
KNOWN = 1_000
"""Of so many runs, the latest heard of, the progress is told to who asks."""


class Notice(msgspec.Struct, omit_defaults=True):
    """What one process tells the others.

    `heard`: runs that gave a sign of life. `progress` of runs, as it was reported. `known`: the same, of
    earlier, for a process that `asks`; it does not replace what is newer.
    """

    sender: str
    heard: list[str] = []
    progress: dict[str, Progress] = {}
    known: dict[str, Progress] = {}
    asks: bool = False


class Peers:
    """`process` is this one's name; `is_over` knows whether a run has ended, and has no progress more."""

    def __init__(
        self, process: str, board: ProgressBoard, liveness: Liveness, is_over: Callable[[str], bool]
    ) -> None:
        self._process = process
        self._board = board
        self._pulse = liveness
        self._is_over = is_over
        self._progress: dict[str, Progress] = {}
        self._heard: set[str] = set()
        self._heard_told = 0.0
        self._asks = self._asked = False
        self._due = asyncio.Event()

    def tell_progress(self, run_id: str, progress: Progress) -> None:
        self._progress[run_id] = progress
        self._due.set()

    def tell_sign_of_life(self, run_id: str) -> None:
        self._heard.add(run_id)

    def ask(self) -> None:
        """What was told before now was not heard here: the others are to say what they know."""
        self._asks = True
        self._due.set()

    async def wait(self, seconds: float) -> None:
        """Until there is something that should not wait, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._due.wait()

    @contextlib.contextmanager
    def telling(self) -> Iterator[list[str]]:
        """The notices to give now; given once, unless an error says that they could not be."""
        progress, self._progress = self._progress, {}
        heard: set[str] = set()
        now = asyncio.get_running_loop().time()
        if now - self._heard_told >= TELL_EVERY:
            heard, self._heard, self._heard_told = self._heard, set(), now
        asks, self._asks = self._asks, False
        asked, self._asked = self._asked, False
        self._due.clear()
        notices = [Notice(self._process, asks=True)] if asks else []
        notices += [Notice(self._process, progress=some) for some in _parts(progress)]
        if asked:
            notices += [Notice(self._process, known=some) for some in _parts(self._known())]
        size = NOTICE_BYTES // 70  # an id has 64 characters at most
        runs = list(heard)
        notices += [Notice(self._process, heard=runs[at : at + size]) for at in range(0, len(runs), size)]
        try:
            yield [msgspec.json.encode(notice).decode() for notice in notices]
        except BaseException:
            self._progress = progress | self._progress
            self._heard |= heard
            self._asks |= asks
            self._asked |= asked
            self._due.set()
            raise

    def hear(self, payload: str) -> None:
        """A notice, of another process or our own."""
        try:
            notice = msgspec.json.decode(payload, type=Notice)
        except msgspec.DecodeError as error:
            logger.warning("a notice that can't be read: %s", error)
            return
        if notice.sender == self._process:
            return
        for run_id in (*notice.heard, *notice.progress):
            # who told it may not have known yet that the run has ended
            if not self._is_over(run_id):
                self._pulse.beat(run_id)
        for run_id, progress in notice.progress.items():
            self._show(run_id, progress)
        for run_id, progress in notice.known.items():
            ours = self._board.latest(run_id)
            if ours is None or ours.updated_at < progress.updated_at:
                self._show(run_id, progress)
        if notice.asks:
            self._asked = True
            self._due.set()

    def _show(self, run_id: str, progress: Progress) -> None:
        if not self._is_over(run_id):  # nothing follows a final event
            self._board.report(run_id, progress)

    def _known(self) -> dict[str, Progress]:
        known: dict[str, Progress] = {}
        for run_id in self._board.known()[-KNOWN:]:
            progress = self._board.latest(run_id)
            if progress is not None and not self._is_over(run_id):
                known[run_id] = progress
        return known


def _parts(progress: dict[str, Progress]) -> Iterator[dict[str, Progress]]:
    """As few parts as make notices that are not too long."""
    part: dict[str, Progress] = {}
    size = 0
    for run_id, each in progress.items():
        short, weight = _shortened(each)
        weight += len(run_id) + 4
        if part and size + weight > NOTICE_BYTES - 100:
            yield part
            part, size = {}, 0
        part[run_id] = short
        size += weight
    if part:
        yield part


def _shortened(progress: Progress) -> tuple[Progress, int]:
    """Its message cut so that it fits into a quarter of a notice, and its size as JSON."""
    while (size := len(msgspec.json.encode(progress))) > NOTICE_BYTES // 4 and progress.message:
        message = progress.message.removesuffix("…")
        progress = msgspec.structs.replace(progress, message=message[: len(message) // 2] + "…")
    return progress, size
