"""Other trackers, each in a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

from .load import folder
from .measurement import Scale

PACKAGES = {
    # the tracker without its server, and what its SQLite store needs
    "mlflow": ["mlflow-skinny", "sqlalchemy", "alembic"],
    "trackio": ["trackio"],
}
INSTALLING = 240.0
"""Seconds."""
_pythons: dict[str, str] = {}


def python_with(name: str, scale: Scale) -> str:
    """The interpreter that has a tracker. Raises `LookupError` with the reason why there is none.

    `ATHANOR_BENCH_PEERS` names a folder in which the environments are kept.
    """
    kept = os.environ.get("ATHANOR_BENCH_PEERS")
    place = (Path(kept) if kept else folder()) / name
    if scale.quick and not _python(place).exists():
        raise LookupError("--quick installs nothing")
    return _installed(name, place)


@cache
def _installed(name: str, place: Path) -> str:
    python = _python(place)
    if not python.exists():
        venv.create(place, with_pip=True)
    command = [str(python), "-m", "pip", "install", "-q", *PACKAGES[name]]
    try:
        done = subprocess.run(command, timeout=INSTALLING, capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        raise LookupError(f"pip did not install {name} within {INSTALLING:g} s") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise LookupError(f"pip could not install {name}: {last[:150]}")
    _pythons[name] = str(python)
    return str(python)


def versions() -> dict[str, str]:
    """The versions of the trackers that were installed."""
    program = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    found = {}
    for name, python in _pythons.items():
        command = [python, "-c", program, PACKAGES[name][0]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found[PACKAGES[name][0]] = done.stdout.strip()
    return found


def _python(place: Path) -> Path:
    return place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
