"""Whatever is reported becomes a line that the service takes; nothing raises."""

from __future__ import annotations

import argparse
import json
import math
import uuid
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor.client.encode import MAX_MESSAGE, log_line, plain, progress_body, result_line

from ..support.service import new_run


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no")


def circle() -> list[Any]:
    found: list[Any] = [1]
    found.append(found)
    return found


THINGS = {
    "numpy number": (np.float32(0.5), 0.5),
    "numpy array": (np.arange(3), [0, 1, 2]),
    "NaN": (math.nan, None),
    "infinity": ([math.inf, 1.0], [None, 1.0]),
    "lone surrogate": ("\ud800x", "\ufffdx"),
    "keys": ({1: "a", (2, 3): "b"}, {"1": "a", "(2, 3)": "b"}),
    "namespace": (argparse.Namespace(lr=0.1), {"lr": 0.1}),
    "set": ({7}, [7]),
    "bytes": (b"ab", "YWI="),
    "id": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "odd": (Odd(), "<Odd whose str() raised RuntimeError>"),
    "NUL": ("\x00", "\x00"),
}


@pytest.mark.parametrize("name", list(THINGS))
def test_things_become_what_json_has_for_them(name: str) -> None:
    thing, expected = THINGS[name]
    assert plain(thing) == expected
    assert json.loads(result_line("x", thing))["value"] == expected
    assert json.loads(log_line("x", metadata={"a": thing}))["metadata"] == {"a": expected}


def test_circles_end_somewhere() -> None:
    assert json.loads(log_line("x", metadata={"a": circle()}))["metadata"]["a"][0] == 1


def test_messages_are_text_and_cut_at_the_services_bound() -> None:
    assert json.loads(log_line(3.5))["message"] == "3.5"
    assert json.loads(log_line(Odd()))["message"].startswith("<Odd whose")
    assert json.loads(log_line("x" * MAX_MESSAGE))["message"] == "x" * MAX_MESSAGE
    cut = json.loads(log_line("é" * MAX_MESSAGE))["message"]
    assert len(cut.encode()) <= MAX_MESSAGE
    assert cut.endswith("… (524,288 bytes, cut)")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("WARNING", "warn"), ("critical", "error"), ("debug", "debug"), ("loud", "info"), (None, "info")],
)
def test_levels_are_known_by_their_names(level: Any, expected: str) -> None:
    assert json.loads(log_line("x", level))["level"] == expected


@pytest.mark.parametrize("current", [None, "3", -1, math.nan, Odd(), [1]])
def test_what_is_no_amount_is_no_progress(current: Any) -> None:
    assert progress_body(current) is None


def test_amounts_of_numpy_are_progress() -> None:
    body = progress_body(np.int64(3), np.float32(10), Odd())
    assert body is not None
    found = json.loads(body)
    assert (found["current"], found["total"]) == (3, 10)


ANYTHING = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
        *(st.characters(categories=["Cs", "Cc"]), st.just(Odd()), st.datetimes(), st.decimals()),
    ),
    lambda inner: st.one_of(
        *(st.lists(inner), st.tuples(inner), st.dictionaries(st.text() | st.integers(), inner))
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), min_size=1, max_size=10))
def test_the_service_takes_whatever_is_reported(
    client: httpx.Client, things: list[tuple[Any, Any, Any]]
) -> None:
    run = new_run(client)
    lines = []
    for one, other, third in things:
        lines += [log_line(one, other, {"it": third}), result_line(one, other, third)]
    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    answer = client.post(
        f"/runs/{run}/events", content=b"".join(lines), headers={"Content-Type": "application/x-ndjson"}
    )
    assert answer.status_code == 201, answer.text
    assert answer.json()["accepted"] == len(lines)
