"""Entries that SQL joined into one text become the same events as the rows of the same entries."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from athanor.live.segments import Segment
from athanor.live.text_segment import TextSegment
from athanor.protocol.events import ENTRY_TYPES
from athanor.store.entry_text import EntryText

MESSAGES = st.text(st.characters(codec="utf-8"), max_size=12)


@st.composite
def texts(draw: Any) -> EntryText:
    """Logs and results of a run, whose numbers may have gaps where other runs wrote."""
    codes = draw(st.text("lr", min_size=1, max_size=30))
    numbers, n = [], 0
    for _ in codes:
        n += draw(st.sampled_from((1, 1, 1, 5)))
        numbers.append(n)
    seqs = dict.fromkeys("lr", 0)
    lines = []
    for code in codes:
        seqs[code] += 1
        lines.append(msgspec.json.encode({"seq": seqs[code], "message": draw(MESSAGES)}))
    return EntryText("first", codes, numbers, b",".join(lines))


def entries(part: Any) -> list[tuple[str, object]]:
    """The type of each event's entries, and the entries, in order."""
    found = []
    for event in part.events:
        data = msgspec.json.decode(event.data)
        assert data["type"] == event.type
        assert data["run_id"] == "first"
        noun = event.type.removeprefix("run_")
        many = noun.endswith("s")
        assert not many or len(data[noun]) > 1
        found += [(noun.removesuffix("s"), entry) for entry in (data[noun] if many else [data[noun]])]
    return found


@given(texts(), st.sampled_from((None, *map(frozenset, (["run_log"], ["run_result"], ENTRY_TYPES)))),
       st.integers(1, 200))  # fmt: skip
def test_a_text_becomes_the_events_of_its_rows(
    text: EntryText, types: frozenset[str] | None, most_bytes: int
) -> None:
    rows = text.rows
    made = TextSegment(text, most_bytes, WeakValueDictionary()).part(types)
    expected = Segment(rows, most_bytes, None).part(types)
    if expected is None:
        assert made is None
        return
    assert made is not None
    assert entries(made) == entries(expected)
    assert (made.last, made.type) == (expected.last, expected.type)
    ends = {event.n for event in made.events}
    assert ends <= {row.n for row in rows if types is None or row.type in types}
    longest = max(len(row.data) for row in rows)
    assert all(len(event.data) <= most_bytes + longest + 100 for event in made.events)
