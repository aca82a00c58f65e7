"""What reporting costs a script: 100,000 `run.log` calls, whatever the service does meanwhile.

The script hashes a page between two lines, as an experiment would do something. Its own time is that
of its loop. The bound is what was promised: the disabled script's time and a tenth, and 5 µs a call.
"Silent" is the loop without any call.
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
"""Bytes hashed between two lines: some 75 µs, so that five kills find the loop going on."""

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
        for way in ("silent", "disabled", "online", "killed", "absent"):
            mode = "disabled" if way in ("silent", "disabled") else "online"
            url = f"http://127.0.0.1:{free_port()}" if way == "absent" else service.url
            text = LOOP.replace("log = run.log", "log = lambda line: None") if way == "silent" else LOOP
            script = Script(Path(folder) / way, text, url, mode=mode).start()
            try:
                if way == "killed":
                    kill_in_the_middle(service, script)
                assert script.wait(120) == 0, script.stderr
            finally:
                script.close()
            run, took = script.stdout.split()
            seconds[way] = float(took)
            if way in ("online", "killed"):
                check(service, run)
        disabled = seconds["disabled"]
        bound = disabled * 1.1 + CALLS * BOUND_US / 1e6
        figures = {f"{way}: seconds": took for way, took in seconds.items()}
        for way in ("online", "killed", "absent"):
            figures[f"{way}: µs a call"] = (seconds[way] - seconds["silent"]) / CALLS * 1e6
            figures[f"{way}: share of the bound"] = seconds[way] / bound
        return figures | imports()


def kill_in_the_middle(service: Service, script: Script) -> None:
    """`kill -9` and start again, five times while the loop runs."""
    script.wait_for("\n")
    cores = sorted(os.sched_getaffinity(0))
    for kill in range(1, KILLS + 1):
        wait_for_lines(service, kill * CALLS // (3 * KILLS))
        service.kill()
        assert len(script.stdout.split()) == 1, "the loop was over before the last kill"
        os.sched_setaffinity(0, {0} if cores != [0] else set(cores))  # the service's core
        service.start()
        os.sched_setaffinity(0, set(cores))


def wait_for_lines(service: Service, least: int) -> None:
    """Until the newest run has them, looking seldom: the looking takes the script's core."""
    with httpx.Client(base_url=service.url) as client:
        while client.get("/runs?limit=1").json()["runs"][0]["log_count"] < least:
            time.sleep(0.05)


def check(service: Service, run: str) -> None:
    """Every line once, in order."""
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
    """Milliseconds of fresh interpreters, in turns."""
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
