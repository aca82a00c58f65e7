"""Forks while other threads report and print: no child waits for a lock that nobody releases."""

from __future__ import annotations

import pytest

from ..support.follower import wait_until
from ..support.scripts import Scripts, messages
from ..support.service import Service

CHATTER = """
import logging, multiprocessing, os, signal, sys, threading, time
import athanor

run = athanor.init("forks", id="seen")
{capture}
logging.getLogger().addHandler(athanor.LoggingHandler(run))
logging.getLogger().setLevel("INFO")
over = False

def print_on():
    while not over:
        print("x" * 100)

def report_on():
    while not over:
        run.log("y")
        run.progress(1, 2)
        logging.getLogger("z").info("z")
        time.sleep(0.0005)

for chatter in (print_on, report_on):
    threading.Thread(target=chatter, daemon=True).start()
"""
FORKS = (
    CHATTER
    + """
hung = 0
for number in range(60):
    pid = os.fork()
    if pid == 0:
        print("child")
        run.log(f"child {{number}}")
        logging.getLogger("c").info("child")
        if number % 20 == 0:
            run.finish()
        os._exit(0)
    deadline = time.monotonic() + 20
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            hung += 1
            break
        time.sleep(0.001)
over = True
run.finish()
os.write(2, b"hung %d\\n" % hung)
"""
)
POOLS = (
    CHATTER
    + """
def work(number):
    print(f"worker {{number}}")
    run.log(f"worker {{number}}")
    return number

for number in range(10):
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(work, range(4)) == list(range(4))
over = True
run.finish()
os.write(2, b"over\\n")
"""
)


@pytest.mark.parametrize("capture", ["", "run.capture()"], ids=["plain", "capture"])
def test_a_fork_while_threads_report_and_print_hangs_no_child(
    service: Service, scripts: Scripts, capture: str
) -> None:
    script = scripts(FORKS.format(capture=capture), service.url)
    del script.environ["PYTHONUNBUFFERED"]
    assert script.run() == 0, script.stderr
    assert "hung 0" in script.stderr
    logged = messages(service.client(), "seen")
    assert {f"child {number}" for number in (0, 20, 40)} <= set(logged)
    assert service.client().get("/runs/seen").json()["status"] == "completed"


@pytest.mark.parametrize("capture", ["", "run.capture()"], ids=["plain", "capture"])
def test_pools_that_begin_and_end_while_threads_print_end_and_harm_no_run(
    service: Service, scripts: Scripts, capture: str
) -> None:
    """A pool ends its workers by SIGTERM, some of them just after their fork."""
    script = scripts(POOLS.format(capture=capture), service.url)
    del script.environ["PYTHONUNBUFFERED"]
    assert script.run() == 0, script.stderr
    assert "over" in script.stderr
    client = service.client()
    wait_until(
        lambda: sum(text.startswith("worker ") for text in messages(client, "seen")) >= 40,
        "the lines of all workers",
    )
    assert client.get("/runs/seen").json()["status"] == "completed"
