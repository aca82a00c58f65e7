"""JSON that stays text is taken exactly where msgspec decodes it, and means the same."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from athanor import Athanor, InvalidInput, Settings, TooLarge
from athanor.domain.commands import CreateRun, UpdateRun
from athanor.protocol.bounds import MAX_DEPTH, MAX_ENTRY, MAX_OBJECT
from athanor.protocol.encoding import JSON_ERRORS, decode_json, safe_json
from athanor.protocol.raw import is_object, merged, one_line, readable, same

TOKENS = (
    *("1", "0", "-", "9", ".", "0.", "e", "E", "e-", "e+", "30", "308", "309", "1e308", "1e309"),
    *("1.7976931348623158e308", "99999999e301", "1" * 205, "1" * 310, "1" * 4300, "0" * 4400),
    *('"', '"a"', '"1e400"', "\\", "\\u", "\\ud800", "\\udc00", "é", "\u2028", "[", "]", "{", "}"),
    *(":", ",", " ", "\n", "true", "null"),
)
JUNK = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=8).map("".join)
JSON_VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.sampled_from("abc"), JSON_VALUE)


@settings(max_examples=600, deadline=None)
@given(JUNK | JUNK.map(lambda text: f"[{text}]"), st.sampled_from([b"", b"\xff"]))
def test_what_is_taken_is_what_can_be_decoded(text: str, bad: bytes) -> None:
    body = text.encode() + bad
    decoded: Any = InvalidInput
    taken: Any = InvalidInput
    with contextlib.suppress(*JSON_ERRORS):
        decoded = decode_json(msgspec.json.Decoder(), body)
    with contextlib.suppress(*JSON_ERRORS, InvalidInput):
        taken = one_line(decode_json(msgspec.json.Decoder(msgspec.Raw), body), "$")
    if decoded is InvalidInput or taken is InvalidInput:
        assert decoded is taken
    else:
        assert msgspec.json.decode(taken) == decoded
        assert b"\n" not in bytes(taken)


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


PIECES = st.sampled_from([*'a/"\\\0\n\t\b\x7f01d\x1b\u202eé\U0001f600', "u007f", "\\u0041"])
STRINGS = st.lists(PIECES, max_size=8).map("".join)


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(STRINGS, st.lists(STRINGS, max_size=2)), st.booleans(), st.booleans())
def test_readable_json_has_no_escape_that_it_does_not_need(
    value: Any, ascii_only: bool, slashes: bool
) -> None:
    """As Python writes it when it need not be ASCII."""
    text = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    stored = safe_json((text.replace("/", "\\/") if slashes else text).encode())
    assert json.loads(stored) == value
    assert readable(stored).decode() == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plainly_merged(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = plainly_merged(result.get(key), value)
    return result


@settings(max_examples=60, deadline=None)
@given(OBJECT, OBJECT)
def test_a_merge_of_texts_is_the_merge_of_objects(target: Any, patch: Any) -> None:
    result = merged(raw(target), raw(patch))
    expected = plainly_merged(target, patch)
    assert is_object(result)
    assert msgspec.json.decode(result) == expected
    assert same(result, raw(expected))
    assert same(raw(target), raw(expected)) == (target == expected)


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 300])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('["[[",', "]")])
def test_depth_is_counted_outside_strings(depth: int, opened: str, closed: str) -> None:
    text = msgspec.Raw((opened * depth + "0" + closed * depth).encode())
    if depth <= MAX_DEPTH:
        assert one_line(text, "$") == text
    else:
        with pytest.raises(InvalidInput, match="nested too deeply"):
            one_line(text, "$.value")


def test_time_is_proportional_to_the_length_of_numbers() -> None:
    # with the square of the length it would be hours
    digits = "1" * (1 << 20)
    with pytest.raises(InvalidInput, match="out of range"):
        one_line(msgspec.Raw(f"[{digits}]".encode()), "$")
    number = msgspec.Raw(f"[0.{digits},1.{digits}e-7,{','.join(['1' * 4300] * 200)}]".encode())
    assert one_line(number, "$") == number


def test_a_command_weighs_what_it_brings() -> None:
    text = raw({"a": "x" * 100_000})
    assert CreateRun("r", "i", metadata=text, weight=100_000).size > 100_000
    assert UpdateRun("r", patch=text, weight=100_000).size > 100_000


@pytest.mark.anyio
async def test_a_host_meets_the_same_bounds(tmp_path: Any) -> None:
    large = {"a": "x" * MAX_OBJECT}
    async with Athanor(Settings(database_url=f"sqlite:///{tmp_path / 'athanor.db'}")) as athanor:
        for make in (athanor.create_instance, lambda name, **of: athanor.put_instance("i", name, **of)):
            with pytest.raises(TooLarge, match="configuration"):
                await make("n", configuration=large)
        instance = await athanor.create_instance("n", configuration={"a": [1, {"b": None}]})
        assert instance.configuration == {"a": [1, {"b": None}]}
        with pytest.raises(TooLarge, match="configuration"):
            await athanor.update_instance(instance.id, configuration=large)
        with pytest.raises(TooLarge, match="metadata"):
            await athanor.create_run(instance.id, metadata=large)
        run = await athanor.create_run(instance.id, metadata={"a": "x" * (MAX_OBJECT - 20)})
        before = athanor.parts.store.newest
        with pytest.raises(TooLarge, match="metadata"):
            await athanor.update_run(run.id, notes="a change that is small by itself")
        assert athanor.parts.store.newest == before
        assert (await athanor.get_run(run.id)).metadata == run.metadata
        await athanor.start_run(run.id)
        with pytest.raises(TooLarge, match=str(MAX_ENTRY)):
            await athanor.result(run.id, "k", "x" * MAX_ENTRY)
        with pytest.raises(TooLarge, match="1024 bytes"):
            await athanor.progress(run.id, 1, message="x" * 1025)
        await athanor.log(run.id, "x", metadata={"a": [1]})
        # a run that is only appended to is read without its metadata, and keeps it
        assert (await athanor.heartbeat(run.id)).metadata == {}
        ended = await athanor.complete_run(run.id)
        assert (ended.metadata, ended.log_count) == (run.metadata, 1)
        (listed,) = (await athanor.list_runs()).items
        assert json.dumps(listed.metadata) == json.dumps(run.metadata)
