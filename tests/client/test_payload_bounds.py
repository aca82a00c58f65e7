"""What a script reports beyond the service's bounds is cut by its client: the run ends as it ended."""

from __future__ import annotations

import json
from typing import Any

import httpx
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from athanor.client.encode import encode_log, encode_progress, encode_result, fitting
from athanor.protocol.bodies import EVENTS
from athanor.protocol.bounds import MAX_ENTRY, MAX_ERROR, MAX_OBJECT, MAX_PROGRESS_MESSAGE
from athanor.protocol.entries import EncodedReports
from athanor.protocol.records import now

from ..support.scripts import Scripts
from ..support.service import Service


def test_a_run_that_is_too_large_everywhere_is_registered_and_fails(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import athanor

        config = {"lr": 0.1, "vocabulary": ["word"] * 100_000, "deep": {"seed": 3, "text": "x" * 300_000}}
        with athanor.init("too large", id="large", name="huge", config=config, notes="n" * 70_000) as run:
            run.progress(1, 2, "é" * 5000)
            run.result("weights", [0.5] * 400_000, 7)
            run.log("with metadata", all=["x"] * 400_000)
            run.log("after")
            run.config["more"] = "y" * 300_000
            run.config["lr"] = 0.2
            raise ValueError("é" * 100_000 + " is the end")
        """,
        shared_service.url,
    )
    assert script.run() == 1
    assert "256 KiB" in script.stderr
    run = client.get("/runs/large").json()
    assert run["status"] == "failed"
    assert run["error"].endswith(" is the end")
    assert len(run["error"]) == MAX_ERROR
    assert run["metadata"]["name"] == "huge"
    config = run["metadata"]["config"]
    assert (config["lr"], config["deep"]["seed"]) == (0.2, 3)
    assert config["vocabulary"].endswith("bytes, left out)")
    assert config["more"].endswith("bytes, left out)")
    logs = client.get("/runs/large/logs").json()["logs"]
    assert [log["message"] for log in logs][1:] == ["with metadata", "after"]
    assert "the result 'weights' at step 7 is left out" in logs[0]["message"]
    assert run["progress"]["message"].endswith("bytes, cut)")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=9), inner, max_size=8),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=9), VALUES, max_size=8), st.integers(2, 500))
def test_what_fits_stays_and_the_rest_fits(fields: dict[str, Any], most: int) -> None:
    fitted = fitting(fields, most)
    assert len(msgspec.json.encode(fitted)) <= most
    if len(msgspec.json.encode(fields)) <= most:
        assert fitted == fields
    assert list(fitted) == list(fields)[: len(fitted)]


def test_whatever_is_reported_is_taken() -> None:
    lines = [
        encode_log("\0" * 300_000),
        encode_log("x" * 300_000, metadata={"a": "\0" * 300_000}),
        encode_result("k", "\0" * 300_000, 3),
        encode_result("k", {"a": [1.5] * 300_000}),
        encode_progress(1, 2, "é" * 600, [(1, 2, "é" * 600)]),
    ]
    encoded = EncodedReports(now(), 256 * 1024, 1000)
    for line in lines:
        assert line is not None
        assert len(line) <= MAX_ENTRY
        for part in EVENTS.parts(line, True):
            encoded.add(part)
    assert [entry.type for entry in encoded.entries] == ["run_log"] * 4
    assert encoded.progress is not None
    assert len((encoded.progress.message or "").encode()) <= MAX_PROGRESS_MESSAGE
    assert len(json.dumps(fitting({"a": "x" * 300_000, "b": list(range(300_000))}))) <= MAX_OBJECT
