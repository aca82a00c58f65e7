"""Any report is encoded as JSON that the service accepts; nothing raises."""

from __future__ import annotations

import argparse
import json
import math
import uuid
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from athanor.client.encode import MAX_MESSAGE, encode_log, encode_progress, encode_result, plain

from ..support.service import new_run


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no")


class Celsius:
    def __float__(self) -> float:
        return 21.5


def circular() -> list[Any]:
    found: list[Any] = [1]
    found.append(found)
    return found


VALUES = {
    "numpy number": (np.float32(0.5), 0.5),
    "numpy array": (np.arange(3), [0, 1, 2]),
    "NaN": (math.nan, "NaN"),
    "infinities": ([math.inf, 1.0, -math.inf, None], ["Infinity", 1.0, "-Infinity", None]),
    "NaN deep inside": ({"a": [np.array([1, math.nan])]}, {"a": [[1.0, "NaN"]]}),
    "NumPy's NaN": (np.float32(math.nan), "NaN"),
    "Decimal": ([Decimal("1.10"), Decimal("NaN"), Decimal("-Infinity")], [1.1, "NaN", "-Infinity"]),
    "Fraction": ([Fraction(1, 2), Fraction(4, 2)], [0.5, 2]),
    "what has __float__": (Celsius(), 21.5),
    "what has item": (np.array(3), 3),
    "integers beyond 2^53": ([2**53 + 1, -(2**63), 10**30], [2**53 + 1, -(2**63), 10**30]),
    "lone surrogate": ("\ud800x", "\ufffdx"),
    "keys": ({1: "a", (2, 3): "b"}, {"1": "a", "(2, 3)": "b"}),
    "namespace": (argparse.Namespace(lr=0.1), {"lr": 0.1}),
    "set": ({7}, [7]),
    "bytes": (b"ab", "YWI="),
    "id": (uuid.UUID(int=1), str(uuid.UUID(int=1))),
    "odd": (Odd(), "<Odd whose str() raised RuntimeError>"),
    "NUL": ("\x00", "\x00"),
}


@pytest.mark.parametrize("name", list(VALUES))
def test_values_become_json(name: str) -> None:
    value, expected = VALUES[name]
    assert plain(value) == expected
    assert json.loads(encode_result("x", value))["value"] == expected
    assert json.loads(encode_log("x", metadata={"a": value}))["metadata"] == {"a": expected}


def test_circular_references_are_cut() -> None:
    assert json.loads(encode_log("x", metadata={"a": circular()}))["metadata"]["a"][0] == 1


def test_messages_become_text_and_are_cut_at_the_services_limit() -> None:
    assert json.loads(encode_log(3.5))["message"] == "3.5"
    assert json.loads(encode_log(Odd()))["message"].startswith("<Odd whose")
    assert json.loads(encode_log("x" * MAX_MESSAGE))["message"] == "x" * MAX_MESSAGE
    cut = json.loads(encode_log("é" * MAX_MESSAGE))["message"]
    assert len(cut.encode()) <= MAX_MESSAGE
    assert cut.endswith("… (524,288 bytes, cut)")


@pytest.mark.parametrize(
    ("level", "expected"),
    [("WARNING", "warn"), ("critical", "error"), ("Fatal", "error"), ("loud", "info"), (None, "info")],
)
def test_level_names_are_recognised_and_others_are_info(level: Any, expected: str) -> None:
    assert json.loads(encode_log("x", level))["level"] == expected


@pytest.mark.parametrize("current", [None, "3", -1, math.nan, Odd(), [1]])
def test_progress_needs_a_finite_number_of_0_or_more(current: Any) -> None:
    assert encode_progress(current) is None


def test_progress_takes_numpy_numbers() -> None:
    body = encode_progress(np.int64(3), np.float32(10), Odd())
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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING), min_size=1, max_size=10))
def test_the_service_accepts_whatever_is_reported(
    client: httpx.Client, values: list[tuple[Any, Any, Any]]
) -> None:
    run = new_run(client)
    entries = []
    for one, other, third in values:
        entries += [encode_log(one, other, {"it": third}), encode_result(one, other, third)]
    assert all(entry.count(b"\n") == 1 and entry.endswith(b"\n") for entry in entries)
    response = client.post(
        f"/runs/{run}/events", content=b"".join(entries), headers={"Content-Type": "application/x-ndjson"}
    )
    assert response.status_code == 201, response.text
    assert response.json()["accepted"] == len(entries)
