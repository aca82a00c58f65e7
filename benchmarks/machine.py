"""What the figures were measured on, and with."""

from __future__ import annotations

import datetime
import os
import platform
import sqlite3
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from tests.support.postgres import answers, run_sql

from . import trackers
from .load import folder, is_compiled

ROOT = Path(__file__).parent.parent
PACKAGES = ("uvicorn", "uvloop", "httptools", "sse-starlette", "starlette", "msgspec", "asyncpg")


@dataclass(frozen=True)
class Machine:
    """`mode` says how much was measured."""

    date: str
    commit: str
    processor: str
    cores: int
    memory_gib: float
    system: str
    versions: dict[str, str]
    readers: str
    mode: str

    def sentence(self) -> str:
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        return (
            f"Measured on {self.date} at commit {self.commit}, {self.mode}, on {self.processor} with "
            f"{self.cores} cores and {self.memory_gib:.0f} GiB, {self.system}, with {versions}. "
            f"The readers are a process of their own, written in {self.readers}."
        )


def this_machine(mode: str) -> Machine:
    return Machine(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        commit=_commit(),
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=psutil.virtual_memory().total / 1024**3,
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        versions=versions(),
        readers="C" if is_compiled("load") else "Python",
        mode=mode,
    )


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.machine()


def versions() -> dict[str, str]:
    """What is on the machine, and what the benchmarks have fetched until now."""
    found = {"Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    for name, command in (
        ("nginx", ["/usr/sbin/nginx", "-v"]),
        ("Redis", ["redis-server", "--version"]),
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        words = (done.stdout + done.stderr).replace("/", " ").replace("v=", "").split()
        found[name] = next((word for word in words if word[:1].isdigit()), "unknown")
    for package in folder().glob("debian/libnginx-mod-nchan_*.deb"):
        found["nchan"] = package.name.split("_")[1].replace("%3a", ":").partition(":")[2]
    if answers():
        found["PostgreSQL"] = str(run_sql("SHOW server_version")[0][0]).split()[0]
    return found | trackers.versions()
