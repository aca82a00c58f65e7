"""The example is a real experiment, and is reported as one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import ROOT, Service

pytestmark = pytest.mark.skipif(
    # only the example imports it: that takes seconds
    importlib.util.find_spec("sklearn") is None,
    reason="there is no scikit-learn on this machine",
)


def start(service: Service, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "digits.py"), *arguments],
        env={**os.environ, "ATHANOR_URL": service.url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_digits_are_learned_and_reported(service: Service) -> None:
    process = start(service, "--epochs", "6", "--hidden", "64")
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    client = service.client()
    (run,) = client.get("/runs").json()["runs"]
    assert f"run {run['id']}" in said
    assert run["status"] == "completed"
    accuracy = client.get(f"/runs/{run['id']}/results?key=accuracy").json()["results"]
    assert [result["step"] for result in accuracy] == list(range(1, 7))
    assert accuracy[-1]["value"] > 0.8
    assert accuracy[-1]["value"] > accuracy[0]["value"]
    assert client.get(f"/runs/{run['id']}").json()["progress"]["current"] == 6
    assert run["metadata"]["config"] == {"epochs": 6, "hidden": 64}
    assert client.get("/instances/digits").json()["configuration"] == {"epochs": 6, "hidden": 64}


def test_digits_stop_when_asked(service: Service) -> None:
    process = start(service, "--epochs", "100000")
    client = service.client()
    wait_until(lambda: [r for r in client.get("/runs").json()["runs"] if r["log_count"]], "lines")
    (run,) = client.get("/runs").json()["runs"]
    client.post(f"/runs/{run['id']}/cancel")
    process.communicate(timeout=PATIENCE)
    assert client.get(f"/runs/{run['id']}").json()["status"] == "cancelled"
