"""The decoder of server-sent events, against section 9.2.6 of the HTML standard and httpx-sse."""

from __future__ import annotations

import codecs
import re
import time

import httpx
import pytest
from httpx_sse import EventSource
from httpx_sse import ServerSentEvent as TheirEvent
from httpx_sse._decoders import SSEDecoder, SSELineDecoder
from hypothesis import example, given
from hypothesis import strategies as st

from athanor.client.sse import MAX_RETRY, ServerSentEvent, SseDecoder

BOM = codecs.BOM_UTF8

text = st.text(
    st.sampled_from("ab:0 \t\0é√😀\u2028\u2029\x85\x0b\x0c\x1c\ufeff٣²") | st.characters(codec="utf-8"),
    max_size=8,
)
values = text.map(str.encode) | st.binary(max_size=8)
names = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"Data", b"data ", b"dat", b"unknown"])
colons = st.sampled_from([b":", b": ", b":  ", b"", b" :"])
retries = st.integers(-9, 10**30).map(lambda number: b"retry:%d" % number)
lines = (
    st.builds(lambda *parts: b"".join(parts), names, colons, values)
    | st.builds(b"data: ".__add__, values)
    | st.builds(b"id: ".__add__, values)
    | st.builds(b": ".__add__, values)
    | retries
    | values
    | st.just(b"")
)
line_ends = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """An event stream: any lines and line ends, perhaps with byte order marks, perhaps cut."""
    whole = draw(st.sampled_from([b"", b"", BOM, BOM + BOM]))
    whole += b"".join(
        line + end for line, end in draw(st.lists(st.tuples(lines, line_ends), max_size=12))
    )
    return whole + draw(st.sampled_from([b"", b"data: cut", b"id: cut\n", b"\xe2\x82"]))


@st.composite
def pieces(draw: st.DrawFn) -> list[bytes]:
    """An event stream in pieces, some of them empty."""
    whole = draw(streams())
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=20)))
    return [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def fed(*parts: bytes) -> tuple[list[ServerSentEvent], SseDecoder]:
    decoder = SseDecoder()
    return [event for part in parts for event in decoder.feed(part)], decoder


def events_of(*parts: bytes) -> list[ServerSentEvent]:
    return fed(*parts)[0]


def data_of(*parts: bytes) -> list[str]:
    return [event.data for event in events_of(*parts)]


@given(pieces())
@example([b"data: a\r", b"", b"\ndata: b\r", b"\r", b"\n"])
@example([BOM[:1], BOM[1:], b"data: \xe2", b"\x82\xac\n\n"])
def test_the_pieces_of_a_stream_do_not_matter(parts: list[bytes]) -> None:
    whole, at_once = fed(b"".join(parts))
    in_parts, bit_by_bit = fed(*parts)
    assert in_parts == whole
    assert (bit_by_bit.last_event_id, bit_by_bit.retry) == (at_once.last_event_id, at_once.retry)


@given(streams())
def test_an_event_is_returned_with_the_byte_that_ends_it(stream: bytes) -> None:
    decoder = SseDecoder()
    for end in range(len(stream)):
        now = decoder.feed(stream[end : end + 1])
        assert len(now) <= 1
        assert not now or stream[end : end + 1] in (b"\n", b"\r")


# httpx-sse 0.4.3 differs from the standard in these points; `by_httpx_sse` removes only them:
#
# - 9.2.6, "Streams must be decoded using the UTF-8 decode algorithm", which strips one leading byte
#   order mark: httpx-sse keeps it, as a part of the first field's name.
# - The same, whatever charset the Content-Type has: httpx uses that charset.
# - 9.2.6, dispatch, step 2, "If the data buffer is an empty string … return": httpx-sse returns an
#   event without data if there has ever been an id, or a type or a retry in its block.
# - 9.2.6, retry, "If the field value consists of only ASCII digits": httpx-sse accepts whatever
#   `int` does. Its `retry` is a property of the next event; the standard's is one of the stream.


class StrictDecoder(SSEDecoder):
    """The line decoder of httpx-sse, with the second step of the dispatch."""

    def decode(self, line: str) -> TheirEvent | None:
        has_data = bool(self._data)
        event = super().decode(line)
        return event if has_data else None


def by_httpx_sse(stream: bytes) -> list[tuple[str, str, str]]:
    """The type, data and id of each event, from httpx-sse."""
    splitter, decoder = SSELineDecoder(), StrictDecoder()
    found = splitter.decode(stream.removeprefix(BOM).decode("utf-8", "replace")) + splitter.flush()
    events = [decoder.decode(line) for line in found]
    return [(event.event, event.data, event.id) for event in events if event is not None]


@given(streams())
def test_httpx_sse_decodes_the_same_events(stream: bytes) -> None:
    assert events_of(stream) == by_httpx_sse(stream)


def their_events(stream: bytes, charset: str = "utf-8") -> list[tuple[str, str, str, int | None]]:
    headers = {"Content-Type": f"text/event-stream; charset={charset}"}
    found = EventSource(httpx.Response(200, headers=headers, content=stream)).iter_sse()
    return [(event.event, event.data, event.id, event.retry) for event in found]


def test_where_httpx_sse_differs_from_the_standard() -> None:
    """If one of these fails, httpx-sse has changed, and its exception above can go."""
    marked = BOM + b"data: a\n\ndata: b\n\n"
    assert data_of(marked) == ["a", "b"]
    assert their_events(marked) == [("message", "b", "", None)]

    latin = "data: é\n\n".encode()
    assert data_of(latin) == ["é"]
    assert their_events(latin, "latin-1") == [("message", "Ã©", "", None)]

    for empty in (b"id: 1\n\n", b"event: a\n\n", b"retry: 1\n\n"):
        assert not events_of(empty)
        assert len(their_events(empty)) == 1

    for value in ("+5", " 5", "5 ", "-5", "1_000", "٣"):
        stream = f"retry: {value}\ndata: a\n\n".encode()
        assert fed(stream)[1].retry is None
        assert their_events(stream) == [("message", "a", "", int(value))]


def test_the_standards_own_examples() -> None:
    stocks = b"data: YHOO\ndata: +2\ndata: 10\n\n"
    assert data_of(stocks) == ["YHOO\n+2\n10"]

    blocks = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"
    events, decoder = fed(blocks)
    assert events == [("message", "first event", "1"), ("message", "second event", "")]
    assert decoder.last_event_id == ""
    assert events_of(blocks, b"\n")[-1] == ("message", " third event", "")

    assert data_of(b"data\n\ndata\ndata\n\ndata:") == ["", "\n"]
    assert data_of(b"data:test\n\ndata: test\n\n") == ["test", "test"]


def test_a_last_block_without_its_empty_line_is_dropped() -> None:
    events, decoder = fed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")
    assert events == [("message", "a", "1")]
    assert decoder.last_event_id == "1"


def test_without_data_there_is_no_event_and_the_type_is_forgotten() -> None:
    assert events_of(b"event: a\n\ndata: b\n\n") == [("message", "b", "")]


def test_an_id_without_data_counts() -> None:
    events, decoder = fed(b"id: 1\n\n")
    assert not events
    assert decoder.last_event_id == "1"


def test_the_last_id_is_kept_until_there_is_another() -> None:
    stream = b"id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n"
    assert [event.id for event in events_of(stream)] == ["1", "1", "2"]


@pytest.mark.parametrize("line", [b"id", b"id:", b"id: "])
def test_an_id_without_value_resets_it(line: bytes) -> None:
    events, decoder = fed(b"id: 1\ndata: a\n\n" + line + b"\ndata: b\n\n")
    assert [event.id for event in events] == ["1", ""]
    assert decoder.last_event_id == ""


def test_an_id_with_nul_is_ignored() -> None:
    assert [event.id for event in events_of(b"id: 1\nid: 2\0\ndata: a\n\n")] == ["1"]


def test_only_the_first_space_of_a_value_is_removed() -> None:
    assert data_of(b"data:  a \ndata:\tb\n\n") == [" a \n\tb"]


def test_a_type_is_the_last_one_given() -> None:
    assert [event.type for event in events_of(b"event: a\nevent: b\ndata\n\n")] == ["b"]
    assert [event.type for event in events_of(b"event: a\nevent\ndata\n\n")] == ["message"]


def test_field_names_are_taken_literally() -> None:
    assert not events_of(b"Data: a\ndata : a\n data: a\n:data: a\ndat: a\n\n")


def test_only_cr_lf_and_both_end_a_line() -> None:
    assert data_of("data: a\u2028b\x85c\x0bd\x0ce\x1cf\n\n".encode()) == ["a\u2028b\x85c\x0bd\x0ce\x1cf"]


def test_only_one_byte_order_mark_is_removed_and_only_at_the_start() -> None:
    assert data_of(BOM + b"data: a\n\n") == ["a"]
    assert data_of(BOM + BOM + b"data: a\n\n") == []
    assert data_of(b"\n" + BOM + b"data: a\n\n") == []


def test_invalid_utf_8_is_replaced_as_in_the_encoding_standard() -> None:
    assert data_of(b"data: \xe2\x82|\xff|\xed\xa0\x80|\xf0\x9f\n\n") == ["�|�|���|�"]


@given(text.filter(lambda value: not {"\r", "\n"}.intersection(value)) | st.integers().map(str))
def test_retry_is_only_ascii_digits(value: str) -> None:
    digits = re.fullmatch(" ?([0-9]+)", value)
    expected = min(int(digits[1]), MAX_RETRY) if digits else None
    assert fed(f"retry:{value}\n".encode())[1].retry == expected


def test_a_retry_of_any_length_is_accepted() -> None:
    assert fed(b"retry: 0000000000000000000000000250\n")[1].retry == 250
    assert fed(b"retry: " + b"9" * 100_000 + b"\n")[1].retry == MAX_RETRY
    assert fed(b"retry: " + b"0" * 100_000 + b"7\n")[1].retry == 7
    assert fed(b"retry: 5\nretry: x\nretry\nretry:\n")[1].retry == 5


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    """Scanned from the start with each piece, it would be 13 GB; once, it takes milliseconds."""
    decoder = SseDecoder()
    piece = b"x" * 4096
    begin = time.process_time()
    decoder.feed(b"data: ")
    for _ in range(10 * 2**20 // len(piece)):
        assert not decoder.feed(piece)
    (event,) = decoder.feed(b"\n\n")
    assert time.process_time() - begin < 1
    assert len(event.data) == 10 * 2**20
