"""Entries that are not acknowledged are kept in order, and stored once, whatever happens."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from athanor.client.delivery.outbox import Outbox
from athanor.client.delivery.spool import Batch, End, Registration, Spool, SpoolInUse
from athanor.client.limits import ClientLimits
from athanor.client.notices import Notices

REGISTRATION = Registration(run_id="run", instance="x", producer="p", url="http://127.0.0.1:1")
SMALL = ClientLimits(batch_bytes=60, memory_bytes=300, disk_pause=0.0)
"""Limits with which a few entries make several batches."""


def entry(number: int) -> bytes:
    return b'{"type":"run_log","message":"%d"}\n' % number


def numbers(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb'"message":"(\d+)"', data)]


class BreakableSpool(Spool):
    """A spool on a disk that can be made to fail."""

    is_broken = False

    @classmethod
    def create(cls, folder: Path, registration: Registration, content: Batch, sending: int = 0) -> Spool:
        cls._fail_if_broken()
        return super().create(folder, registration, content, sending)

    def append(self, data: bytes, most: int | None = None) -> None:
        self._fail_if_broken()
        super().append(data, most)

    @classmethod
    def _fail_if_broken(cls) -> None:
        if cls.is_broken:
            raise OSError(28, "No space left on device")


class OutboxMachine(RuleBasedStateMachine):
    """A service that stores each key's entries once, and an outbox that is used and broken."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "spool"
        self.added = 0
        self.stored: dict[int, bytes] = {}
        self.sending: Batch | None = None

    @initialize(spooling=st.booleans())
    def begin(self, spooling: bool) -> None:
        self.outbox = Outbox(
            REGISTRATION, self.folder, Notices(), SMALL, spooling, spool_type=BreakableSpool
        )

    @rule(count=st.integers(1, 5))
    def add(self, count: int) -> None:
        self.outbox.add(b"".join(entry(self.added + number) for number in range(count)))
        self.added += count

    @rule(arrives=st.booleans())
    def send(self, arrives: bool) -> None:
        """A batch is sent; it may arrive although its response does not."""
        batch = self.outbox.next()
        if self.sending is not None:
            assert batch == self.sending, "a batch is sent again exactly as it was"
        self.sending = batch
        if batch is not None and arrives:
            self.store(batch)

    @rule()
    @precondition(lambda self: self.sending is not None)
    def acknowledge(self) -> None:
        assert self.sending is not None
        self.store(self.sending)
        self.outbox.done()
        self.sending = None

    @rule()
    def fail(self) -> None:
        self.outbox.spill()

    @rule(broken=st.booleans())
    def disk(self, broken: bool) -> None:
        """The disk fails from now on, or works again."""
        BreakableSpool.is_broken = broken

    def store(self, batch: Batch) -> None:
        """As in the service: what was sent first under a key stays."""
        before = self.stored.setdefault(batch.place, batch.data)
        assert before == batch.data, "a key always has the same entries"

    @invariant()
    def entries_are_stored_once_and_in_order(self) -> None:
        data = b"".join(self.stored[place] for place in sorted(self.stored))
        assert numbers(data) == list(range(len(numbers(data))))

    def teardown(self) -> None:
        """The process ends, and another one delivers what is left."""
        BreakableSpool.is_broken = False
        if hasattr(self, "outbox"):
            left, path = self.outbox.close(End(end="completed"))
            assert path is not None
            spool = Spool.open(path)
            assert left == spool.count() - 1
            while batch := spool.next(60):
                self.store(batch)
                spool.done()
            assert spool.end() == End(end="completed")
            spool.remove()
            data = b"".join(self.stored[place] for place in sorted(self.stored))
            assert numbers(data) == list(range(self.added))
        self.temporary.cleanup()


OutboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOutbox = OutboxMachine.TestCase


def test_entries_without_room_are_counted_at_their_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    limits = ClientLimits(max_memory_bytes=10 * len(entry(0)))
    outbox = Outbox(REGISTRATION, tmp_path / "file", Notices(), limits, spooling=True)
    for number in range(25):
        outbox.add(entry(number % 10))
    sent = b""
    while batch := outbox.next():
        sent += batch.data
        outbox.done()
    outbox.add(entry(7))
    batch = outbox.next()
    assert batch is not None
    missing, after = batch.data.splitlines(keepends=True)
    assert numbers(sent) == list(range(10))
    assert b"15 lines are missing here" in missing
    assert after == entry(7)
    outbox.add(b"", dropped=3)
    outbox.done()
    left, path = outbox.close(None)
    assert (left, path) == (1, None)


def test_a_spool_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, REGISTRATION, Batch(0, entry(0)))
    with pytest.raises(SpoolInUse):
        Spool.open(spool.path)
    spool.close()
    again = Spool.open(spool.path)
    assert again.registration == REGISTRATION
    again.close()


def test_an_entry_that_was_not_written_completely_is_left_out(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, REGISTRATION, Batch(1000, entry(0) + entry(1)))
    spool.close()
    whole = spool.path.read_bytes()
    for cut in range(1, len(entry(1)) + 1):
        spool.path.write_bytes(whole[:-cut])
        torn = Spool.open(spool.path)
        assert torn.next(60) == Batch(1000, entry(0))
        torn.done()
        assert torn.next(60) is None
        assert torn.end() is None
        torn.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"no spool", b"{}\n{}\n", b'{"version":2,"base":0}'.ljust(127) + b"\n{}\n", bytes(300)],
)
def test_a_file_that_is_not_a_spool_is_refused_and_unchanged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        Spool.open(path)
    assert path.read_bytes() == content
