"""A failed test does not make others fail by what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..support.patience import PATIENCE
from ..support.scripts import environment

TESTS = """
import os, socket, subprocess, sys
from pathlib import Path

def test_leaves_much():
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    shell = f"{sys.executable} -c 'import time; time.sleep(600)' & echo $!; wait"
    process = subprocess.Popen(shell, shell=True, stdout=subprocess.PIPE, text=True)
    Path("pids").write_text(f"{process.pid} {process.stdout.readline()}")
    assert False, "on purpose"

def test_meets_nothing():
    for pid in Path("pids").read_text().split():
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"
"""


def run(folder: Path, *options: str) -> str:
    (folder / "test_two.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *options]
    return subprocess.run(
        [*command, "test_two.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    ).stdout


def test_a_failure_stays_alone(tmp_path: Path) -> None:
    shown = run(tmp_path, "-p", "tests.support.leftovers")
    assert "1 failed, 1 passed" in shown, shown
    assert "on purpose" in shown
