"""What a process reported and nobody acknowledged: kept in order, sent once, whatever comes between."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from athanor.client.delivery import outbox as outbox_module
from athanor.client.delivery.outbox import Outbox
from athanor.client.delivery.spool import Batch, End, Registration, Spool, SpoolInUse
from athanor.client.notices import Notices

REGISTRATION = Registration(run_id="run", instance="x", producer="p", url="http://127.0.0.1:1")
GROUP_BYTES = 60
"""Small, so that a few lines make several groups."""


def line(number: int) -> bytes:
    return b'{"type":"run_log","message":"%d"}\n' % number


def numbers(data: bytes) -> list[int]:
    return [int(number) for number in re.findall(rb'"message":"(\d+)"', data)]


class OutboxMachine(RuleBasedStateMachine):
    """A service that stores each key's lines once, and an outbox that is used, broken and synced."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "spool"
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("athanor.client.delivery.spool.GROUP_BYTES", GROUP_BYTES)
        self.patch.setattr(outbox_module, "GROUP_BYTES", GROUP_BYTES)
        self.patch.setattr(outbox_module, "MEMORY_BYTES", 300)
        self.patch.setattr(outbox_module, "DISK_PAUSE", 0.0)
        self.added = 0
        self.stored: dict[int, bytes] = {}
        self.sending: Batch | None = None

    @initialize(away=st.booleans())
    def begin(self, away: bool) -> None:
        self.outbox = Outbox(REGISTRATION, self.folder, Notices(), away)

    @rule(count=st.integers(1, 5))
    def add(self, count: int) -> None:
        self.outbox.add(b"".join(line(self.added + number) for number in range(count)))
        self.added += count

    @rule(arrives=st.booleans())
    def send(self, arrives: bool) -> None:
        """A group goes out; it may arrive though its answer does not."""
        group = self.outbox.next()
        if self.sending is not None:
            assert group == self.sending, "a group is sent again exactly as it was"
        self.sending = group
        if group is not None and arrives:
            self.store(group)

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
        """From now on nothing can be written, or all can again."""

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch.setattr(Spool, "_write", refuse if broken else WRITE)

    def store(self, group: Batch) -> None:
        """As the service does: what a key brought first stays."""
        before = self.stored.setdefault(group.place, group.data)
        assert before == group.data, "the same key always brings the same lines"

    @invariant()
    def stored_lines_are_each_once_in_order(self) -> None:
        data = b"".join(self.stored[place] for place in sorted(self.stored))
        assert numbers(data) == list(range(len(numbers(data))))

    def teardown(self) -> None:
        """The process ends, and what it left is delivered by another."""
        self.patch.setattr(Spool, "_write", WRITE)
        if hasattr(self, "outbox"):
            left, path = self.outbox.close(End(end="completed"))
            assert path is not None
            spool = Spool.open(path)
            assert left == spool.count() - 1
            while group := spool.next():
                self.store(group)
                spool.done()
            assert spool.end() == End(end="completed")
            spool.remove()
            data = b"".join(self.stored[place] for place in sorted(self.stored))
            assert numbers(data) == list(range(self.added))
        self.patch.undo()
        self.temporary.cleanup()


WRITE = Spool._write
OutboxMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestOutbox = OutboxMachine.TestCase


def test_what_finds_no_room_is_counted_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(outbox_module, "MOST_MEMORY_BYTES", 10 * len(line(0)))
    outbox = Outbox(REGISTRATION, tmp_path / "file", Notices(), away=True)
    for number in range(25):
        outbox.add(line(number % 10))
    sent = b""
    while group := outbox.next():
        sent += group.data
        outbox.done()
    outbox.add(line(7))
    group = outbox.next()
    assert group is not None
    confession, after = group.data.splitlines(keepends=True)
    assert numbers(sent) == list(range(10))
    assert b"15 lines are missing here" in confession
    assert after == line(7)
    outbox.add(b"", dropped=3)
    outbox.done()
    left, path = outbox.close(None)
    assert (left, path) == (1, None)


def test_a_spool_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, REGISTRATION, 0, line(0), 0)
    with pytest.raises(SpoolInUse):
        Spool.open(spool.path)
    spool.close()
    again = Spool.open(spool.path)
    assert again.registration == REGISTRATION
    again.close()


def test_a_line_torn_off_by_the_end_of_its_process_is_left_out(tmp_path: Path) -> None:
    spool = Spool.create(tmp_path, REGISTRATION, 1000, line(0) + line(1), 0)
    spool.close()
    whole = spool.path.read_bytes()
    for cut in range(1, len(line(1)) + 1):
        spool.path.write_bytes(whole[:-cut])
        torn = Spool.open(spool.path)
        assert torn.next() == Batch(1000, line(0))
        torn.done()
        assert torn.next() is None
        assert torn.end() is None
        torn.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"no spool", b"{}\n{}\n", b'{"version":2,"base":0}'.ljust(127) + b"\n{}\n", bytes(300)],
)
def test_what_is_no_spool_is_refused_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ndjson"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r".+"):
        Spool.open(path)
    assert path.read_bytes() == content
