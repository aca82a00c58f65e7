"""Properties of cursors and topics, which come from clients."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from athanor.exceptions import InvalidQuery, NotFound
from athanor.protocol.cursor import Cursor
from athanor.protocol.topics import Topic, is_id

PARTS = st.sampled_from(
    ["experiments", ":", "run", "runs", "instance", "instances", "a", ".", "..", "/", "\0", "é"]
)
TEXTS = st.text(max_size=40) | st.lists(PARTS, max_size=8).map("".join)
CURSORS = TEXTS | st.from_regex(r"[0-9a-f]{0,8}-?[0-9]{0,25}", fullmatch=True)


@given(CURSORS)
def test_a_cursor_is_read_as_it_is_written_or_refused(text: str) -> None:
    try:
        cursor = Cursor.parse(text)
    except InvalidQuery:
        return
    assert cursor.n >= 0
    assert Cursor.parse(str(cursor)) == cursor
    assert text.isascii()


@given(TEXTS)
def test_a_topic_is_read_as_it_is_written_or_refused(text: str) -> None:
    try:
        topic = Topic.parse(text)
    except NotFound:
        return
    assert str(topic) == text
    assert topic.id is None or is_id(topic.id)


@given(st.text(max_size=70))
def test_an_id_is_a_part_of_a_path_as_it_is(text: str) -> None:
    if is_id(text):
        assert text.isascii()
        assert text not in (".", "..")
        assert not set(text) & set("/?#%: \\")
