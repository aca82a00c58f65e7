"""Peers: what the processes on one database send each other, and no table keeps.

Progress and signs of life travel as NOTIFY payloads. They are lost if no process listens. A process
that starts to listen requests the progress that its peers know, so that it has every run's bar.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

import msgspec

from ..config import Limits
from ..live.liveness import Liveness
from ..live.progress import ProgressBoard
from ..protocol.records import Progress

logger = logging.getLogger("athanor")


class SharedProgress(Progress, kw_only=True):
    """A run's progress, with what its receiver may not know of the run."""

    # a process of an earlier version does not send it
    instance_id: str = ""


class PeerMessage(msgspec.Struct, omit_defaults=True, rename={"alive": "heard", "requests": "asks"}):
    """What one process sends to its peers.

    `alive`: runs that gave a sign of life. `progress`: progress of runs as it was reported.
    `known`: earlier progress, for a peer that `requests` it; it never replaces newer progress.
    """

    sender: str
    alive: list[str] = []
    progress: dict[str, SharedProgress] = {}
    known: dict[str, SharedProgress] = {}
    requests: bool = False


class Peers:
    """Collects what to send, and applies what was received.

    `process` is the name of this process; `is_over` tells whether a run has ended and therefore has
    no more progress.
    """

    def __init__(
        self,
        process: str,
        progress: ProgressBoard,
        liveness: Liveness,
        is_over: Callable[[str], bool],
        limits: Limits | None = None,
    ) -> None:
        self._process = process
        self._board = progress
        self._liveness = liveness
        self._is_over = is_over
        self._limits = limits or Limits()
        self._progress: dict[str, SharedProgress] = {}
        self._alive: set[str] = set()
        self._alive_sent_at = 0.0
        self._must_request = self._must_answer = False
        self._due = asyncio.Event()

    def share_progress(self, run_id: str, instance_id: str, progress: Progress) -> None:
        self._progress[run_id] = _shared(progress, instance_id)
        self._due.set()

    def share_sign_of_life(self, run_id: str) -> None:
        self._alive.add(run_id)

    def request_progress(self) -> None:
        """Earlier messages did not reach this process: ask the peers for what they know."""
        self._must_request = True
        self._due.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something is due that must not wait longer, `seconds` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._due.wait()

    @contextlib.contextmanager
    def notifications(self) -> Iterator[list[str]]:
        """The payloads to send now; they are given again if the block raises."""
        progress, self._progress = self._progress, {}
        alive: set[str] = set()
        now = asyncio.get_running_loop().time()
        if now - self._alive_sent_at >= self._limits.liveness_interval:
            alive, self._alive, self._alive_sent_at = self._alive, set(), now
        request, self._must_request = self._must_request, False
        answer, self._must_answer = self._must_answer, False
        self._due.clear()
        messages = self._messages(request, progress, answer, sorted(alive))
        try:
            yield [msgspec.json.encode(message).decode() for message in messages]
        except BaseException:
            self._progress = progress | self._progress
            self._alive |= alive
            self._must_request |= request
            self._must_answer |= answer
            self._due.set()
            raise

    def receive(self, payload: str) -> None:
        """Apply a message of a peer; one of this process itself changes nothing."""
        try:
            message = msgspec.json.decode(payload, type=PeerMessage)
        except msgspec.DecodeError as error:
            logger.warning("a notification can't be read: %s", error)
            return
        if message.sender == self._process:
            return
        for run_id in (*message.alive, *message.progress):
            # the sender may not have known yet that the run has ended
            if not self._is_over(run_id):
                self._liveness.beat(run_id)
        for run_id, progress in message.progress.items():
            self._show(run_id, progress)
        for run_id, progress in message.known.items():
            latest = self._board.latest(run_id)
            if latest is None or latest.updated_at < progress.updated_at:
                self._show(run_id, progress)
        if message.requests:
            self._must_answer = True
            self._due.set()

    def _messages(
        self, request: bool, progress: dict[str, SharedProgress], answer: bool, alive: list[str]
    ) -> list[PeerMessage]:
        most = self._limits.notification_bytes
        messages = [PeerMessage(self._process, requests=True)] if request else []
        messages += [PeerMessage(self._process, progress=part) for part in _parts(progress, most)]
        if answer:
            known = _parts(self._known(), most)
            messages += [PeerMessage(self._process, known=part) for part in known]
        # an id has 64 characters at most
        runs = most // 70
        for start in range(0, len(alive), runs):
            messages.append(PeerMessage(self._process, alive=alive[start : start + runs]))
        return messages

    def _show(self, run_id: str, shared: SharedProgress) -> None:
        # nothing may follow a final event
        if not self._is_over(run_id):
            fields = msgspec.structs.asdict(shared)
            self._board.report(run_id, fields.pop("instance_id"), Progress(**fields))

    def _known(self) -> dict[str, SharedProgress]:
        known: dict[str, SharedProgress] = {}
        for run_id in self._board.known()[-self._limits.shared_progress :]:
            progress = self._board.latest(run_id)
            if progress is not None and not self._is_over(run_id):
                known[run_id] = _shared(progress, self._board.instance_of(run_id))
        return known


def _shared(progress: Progress, instance_id: str) -> SharedProgress:
    return SharedProgress(**msgspec.structs.asdict(progress), instance_id=instance_id)


def _parts(progress: dict[str, SharedProgress], most_bytes: int) -> Iterator[dict[str, SharedProgress]]:
    """Split into as few parts as fit into messages of `most_bytes`."""
    part: dict[str, SharedProgress] = {}
    size = 0
    for run_id, each in progress.items():
        short, weight = _shortened(each, most_bytes // 4)
        weight += len(run_id) + 4
        if part and size + weight > most_bytes - 100:
            yield part
            part, size = {}, 0
        part[run_id] = short
        size += weight
    if part:
        yield part


def _shortened(progress: SharedProgress, most_bytes: int) -> tuple[SharedProgress, int]:
    """Leave out bars, then cut the message, until the JSON has `most_bytes` at most.

    Returns it with that size.
    """
    while (size := len(msgspec.json.encode(progress))) > most_bytes and progress.bars:
        fewer = progress.bars[: len(progress.bars) // 2]
        progress = msgspec.structs.replace(progress, bars=fewer or msgspec.UNSET)
    while (size := len(msgspec.json.encode(progress))) > most_bytes and progress.message:
        message = progress.message.removesuffix("…")
        progress = msgspec.structs.replace(progress, message=message[: len(message) // 2] + "…")
    return progress, size
