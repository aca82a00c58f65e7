"""Any body is answered with 2xx or 4xx; what is accepted is what a plain parser reads, in its order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ..support.service import new_run, running

NDJSON, JSON = "application/x-ndjson", "application/json"

TOKENS = (
    *(b'{"key":"k","value":', b'{"type":"run_result","key":"k","value":', b"}", b"[", b"]", b"{", b","),
    *(b":", b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"\\u0000", b"\\ud8", b'"a"', b"\xff", b"\xc3"),
    *(b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"\0", b"\r\n", b"\n", b" ", b"1", b"0", b"-", b".", b"e", b"E5"),
    *(b"1e308", b"1e309", b"9" * 310, b"NaN", b"Infinity", b"null", b"true", b"[" * 60, b"]" * 60),
    *(b'"timestamp":"2026-01-01T00:00:00Z"', b'"step":1', b'"message":"m"', b'"current":1', b"--x\r\n"),
)
JUNK = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=3), max_size=12).map(b"".join)

TEXT = st.text(st.characters(), max_size=8)
"""With lone surrogates."""
NUMBER = st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUE = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ENTRIES = st.lists(VALUE, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def ingest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """A client of a service that does not wait between two flushes, and a run."""
    with running(tmp_path_factory.mktemp("ingest"), flush_interval=0.001) as service:
        client = service.client()
        yield client, new_run(client)
        assert "Traceback" not in service.log.read_text()


def results(client: httpx.Client, run: str, after: int) -> list[Any]:
    page = client.get(f"/runs/{run}/results?after={after}").raise_for_status().json()
    found: list[Any] = page["results"]
    return found


def count(client: httpx.Client, run: str) -> int:
    return int(client.get(f"/runs/{run}").json()["result_count"])


def mended(value: Any) -> Any:
    """The same with U+FFFD for lone surrogates."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
                      .decode("utf-16", "replace"))  # fmt: skip


def plainly_read(body: bytes) -> list[Any]:
    """The values of results in a body, by the standard library."""
    text = body.decode()
    if text.lstrip().startswith("["):
        return [entry["value"] for entry in json.loads(text)]
    values, place = [], 0
    while rest := text[place:].lstrip(" \t\r\n"):
        entry, end = json.JSONDecoder().raw_decode(rest)
        place = len(text) - len(rest) + end
        values.append(entry["value"])
    return values


BOUNDS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@BOUNDS
@given(
    body=JUNK, media_type=st.sampled_from([NDJSON, JSON, ""]), end=st.sampled_from(["results", "events"])
)
def test_any_bytes_are_accepted_as_they_are_read_or_refused(
    ingest: tuple[httpx.Client, str], body: bytes, media_type: str, end: str
) -> None:
    client, run = ingest
    before = count(client, run)
    headers = {"Content-Type": media_type} if media_type else {}
    response = client.post(f"/runs/{run}/{end}", content=body, headers=headers)
    assert response.status_code in (201, 413, 422), response.text
    if response.status_code != 201:
        assert response.json()["detail"]
        assert count(client, run) == before
    elif end == "results":
        stored = [result["value"] for result in results(client, run, before)]
        assert stored == [mended(value) for value in plainly_read(body)]


@BOUNDS
@example(values=[None, {"\ud800": None}], form="pretty", ascii_only=True, large=False)
@given(
    values=ENTRIES,
    form=st.sampled_from(["array", "lines", "pretty"]),
    ascii_only=st.booleans(),
    large=st.booleans(),
)
def test_any_json_is_stored_as_it_is_in_order(
    ingest: tuple[httpx.Client, str], values: list[Any], form: str, ascii_only: bool, large: bool
) -> None:
    client, run = ingest
    if large:
        # several parts, with the values on both sides of their edges
        values = [value for value in values for value in (value, "x" * 30_000)]
    entries = [{"key": "k", "value": value} for value in values]

    def dumped(thing: Any, indent: int | None = None) -> str:
        return json.dumps(thing, ensure_ascii=ascii_only, indent=indent)

    if form == "array":
        text = dumped(entries, 1)
    else:
        text = "\n".join(dumped(entry, 1 if form == "pretty" else None) for entry in entries)
    before = count(client, run)
    body = text.encode("utf-8", "replace")
    response = client.post(f"/runs/{run}/results", content=body, headers={"Content-Type": JSON})
    assert response.status_code == 201, response.text
    found = results(client, run, before)
    assert [result["seq"] for result in found] == list(range(before + 1, before + len(values) + 1))
    expected = json.loads(body.decode()) if form == "array" else None
    wanted = [entry["value"] for entry in expected] if expected else plainly_read(body)
    assert [result["value"] for result in found] == [mended(value) for value in wanted]


@BOUNDS
@given(body=JUNK)
def test_any_object_is_taken_as_it_is_read_or_refused(
    ingest: tuple[httpx.Client, str], body: bytes
) -> None:
    client, run = ingest
    client.patch(f"/runs/{run}", json={"metadata": {"a": None}}).raise_for_status()
    whole = b'{"metadata":{"a":' + body + b"}}"
    for method, path, sent in (
        ("PATCH", f"/runs/{run}", whole),
        ("PATCH", f"/runs/{run}", body),
        ("POST", "/instances", b'{"name":"n","configuration":' + body + b"}"),
        ("POST", f"/runs/{run}/logs", body),
    ):
        response = client.request(method, path, content=sent)
        assert response.status_code in (200, 201, 413, 422), response.text
        if response.status_code == 200 and sent is whole:
            value = mended(json.loads(whole.decode()))["metadata"]["a"]
            # null removes a field
            assert isinstance(value, dict) or response.json()["metadata"].get("a") == value
