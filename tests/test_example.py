"""The example is a real experiment, and is reported as one."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from .follower import wait_until
from .service import ROOT, Service

pytest.importorskip("sklearn", reason="there is no scikit-learn on this machine")


def start(service: Service, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "digits.py"), *arguments],
        env={**os.environ, "ATHANOR_URL": service.url},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_digits_are_learned_and_reported(service: Service) -> None:
    process = start(service, "--epochs", "6", "--hidden", "64")
    said, _ = process.communicate(timeout=120)
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
    assert client.get("/instances/digits").json()["configuration"] == {"epochs": 6, "hidden": 64}


def test_digits_stop_when_asked(service: Service) -> None:
    process = start(service, "--epochs", "100000")
    client = service.client()
    wait_until(lambda: [r for r in client.get("/runs").json()["runs"] if r["log_count"]], "lines")
    (run,) = client.get("/runs").json()["runs"]
    client.post(f"/runs/{run['id']}/cancel")
    process.communicate(timeout=60)
    assert client.get(f"/runs/{run['id']}").json()["status"] == "cancelled"


def test_first_look_ends_everything_at_ctrl_c(tmp_path: Path) -> None:
    service = Service(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        service.port = free.getsockname()[1]
    log = tmp_path / "first_look.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "first_look.py")],
            cwd=tmp_path,
            env=service.environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal of its own, so to speak
        )
    try:
        wait_until(lambda: "\nrun " in log.read_text(), "the run")
        client = service.client()
        wait_until(lambda: client.get("/runs").json()["runs"][0]["log_count"], "its lines")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        service.close()
    database = sqlite3.connect(service.database)
    assert database.execute("SELECT status FROM runs").fetchall() == [("cancelled",)]
    database.close()
