"""The cost of reporting for a script: 100,000 `run.log` calls, in several states of the service.

The script hashes a page between two calls, in place of an experiment's work; the time of its loop
is measured. The bound is the time of the script with reporting disabled, plus a tenth, plus 5 µs
per call. "Silent" is the loop without any call.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.scripts import Script, free_port
from tests.support.service import Service

from .harness import Figures, report, service_alone

CALLS = 100_000
KILLS = 5
BOUND_US = 5.0
INTERPRETERS = 11
PAGE = 160 * 1024
"""Bytes hashed between two calls: about 75 µs, so that the loop outlasts five kills."""

LOOP = f"""
import hashlib, time
import athanor

work = hashlib.sha256
page = bytes({PAGE})
with athanor.init("benchmark", finish_timeout=60) as run:
    log = run.log
    print(run.id, flush=True)
    time.sleep(0.5)
    began = time.perf_counter()
    for number in range({CALLS}):
        work(page)
        log("a line of a log, number " + str(number))
    print(time.perf_counter() - began, flush=True)
"""


def measure() -> Figures:
    with service_alone() as service, tempfile.TemporaryDirectory() as folder:
        seconds = {}
        for case in ("silent", "disabled", "online", "killed", "absent"):
            mode = "disabled" if case in ("silent", "disabled") else "online"
            url = f"http://127.0.0.1:{free_port()}" if case == "absent" else service.url
            text = LOOP.replace("log = run.log", "log = lambda line: None") if case == "silent" else LOOP
            script = Script(Path(folder) / case, text, url, mode=mode).start()
            try:
                if case == "killed":
                    kill_during_the_loop(service, script)
                assert script.wait(120) == 0, script.stderr
            finally:
                script.close()
            run, took = script.stdout.split()
            seconds[case] = float(took)
            if case in ("online", "killed"):
                check(service, run)
        disabled = seconds["disabled"]
        bound = disabled * 1.1 + CALLS * BOUND_US / 1e6
        figures = {f"{case}: seconds": took for case, took in seconds.items()}
        for case in ("online", "killed", "absent"):
            figures[f"{case}: µs per call"] = (seconds[case] - seconds["silent"]) / CALLS * 1e6
            figures[f"{case}: share of the bound"] = seconds[case] / bound
        return figures | imports()


def kill_during_the_loop(service: Service, script: Script) -> None:
    """`kill -9` the service and start it again, five times while the loop runs."""
    script.wait_for("\n")
    cores = sorted(os.sched_getaffinity(0))
    for kill in range(1, KILLS + 1):
        wait_for_lines(service, kill * CALLS // (3 * KILLS))
        service.kill()
        assert len(script.stdout.split()) == 1, "the loop ended before the last kill"
        # the service inherits this core
        os.sched_setaffinity(0, {0} if cores != [0] else set(cores))
        service.start()
        os.sched_setaffinity(0, set(cores))


def wait_for_lines(service: Service, least: int) -> None:
    """Wait until the newest run has `least` lines; polls seldom, on the script's core."""
    with httpx.Client(base_url=service.url) as client:
        while client.get("/runs?limit=1").json()["runs"][0]["log_count"] < least:
            time.sleep(0.05)


def check(service: Service, run: str) -> None:
    """Check that the run has every line once, in order."""
    with httpx.Client(base_url=service.url) as client:
        expected, path = 0, f"/runs/{run}/logs?limit=10000"
        while path:
            page = client.get(path).json()
            for entry in page["logs"]:
                assert entry["message"].endswith(f"number {expected}")
                expected += 1
            path = page["next"]
        assert expected == CALLS, expected


def imports() -> Figures:
    """Milliseconds that `import athanor` adds to `import httpx`, in new interpreters in turns."""
    times: dict[str, list[float]] = {"httpx": [], "athanor": []}
    programs = {"httpx": "import httpx", "athanor": "import httpx; import athanor; athanor.init"}
    for _ in range(INTERPRETERS):
        for name, program in programs.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times[name].append((time.perf_counter() - began) * 1000)
    more = statistics.median(times["athanor"]) - statistics.median(times["httpx"])
    return {"import athanor beyond import httpx: ms": more}


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure)
