"""Whatever may run inside a report may report: signal handlers, destructors, logging, prints."""

from __future__ import annotations

import signal
import time

import pytest

from athanor.client.delivery.queue import EntryQueue
from athanor.client.limits import ClientLimits
from athanor.client.wake import Wake

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, messages
from ..support.service import Service

REPORTS = {
    "run": "report = run.info",
    "progress": "report = lambda text: (run.progress(1, 2, text), run.cancelled, run.info(text))",
    "logging": """
logging.getLogger().addHandler(athanor.LoggingHandler())
logging.getLogger().setLevel("INFO")
report = logging.getLogger("x").info
""",
    # `print` writes the text and the line end apart
    "print": "run.capture()\nreport = lambda text: sys.stdout.write(text + '\\n')",
    "ended": "run.finish()\nreport = run.info",
}
SIGNALS = 300


@pytest.mark.parametrize("how", REPORTS)
def test_a_signal_handler_may_report_at_any_moment(service: Service, scripts: Scripts, how: str) -> None:
    script = scripts(
        f"""
import logging, os, signal, sys
import athanor

run = athanor.init("handler", id="seen")
{REPORTS[how]}
handled = 0

def on_signal(number, frame):
    global handled
    handled += 1
    report(f"signal {{handled}}")

signal.signal(signal.SIGUSR1, on_signal)
os.write(1, b"ready\\n")
step = 0
while handled < {SIGNALS}:
    step += 1
    report(f"step {{step}}")
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
run.finish()
""",
        service.url,
    )
    del script.environ["PYTHONUNBUFFERED"]
    script.start()
    script.wait_for("ready")
    deadline = time.monotonic() + 60
    while script.is_alive and time.monotonic() < deadline:
        script.send(signal.SIGUSR1)
        time.sleep(0.002)
    assert script.wait(PATIENCE) == 0, script.stderr
    if how == "ended":
        return
    logged = messages(service.client(), "seen")
    steps = [text for text in logged if text.startswith("step ")]
    handled = [text for text in logged if text.startswith("signal ")]
    assert steps == [f"step {number}" for number in range(1, len(steps) + 1)]
    # a handler may interrupt a handler
    assert {f"signal {number}" for number in range(1, SIGNALS + 1)} <= set(handled)
    assert len(handled) == len(set(handled))
    assert len(logged) == len(steps) + len(handled)


@pytest.mark.parametrize("how", ["run", "logging", "print"])
def test_a_destructor_may_report_at_any_moment(service: Service, scripts: Scripts, how: str) -> None:
    """The garbage collector runs it inside any allocation, in any thread, the client's too."""
    script = scripts(
        f"""
import gc, logging, os, sys, threading, time
import athanor

run = athanor.init("destructors", id="seen")
{REPORTS[how]}
gc.set_threshold(20, 2, 2)
made = 0

class Cycle:
    def __init__(self):
        self.me = self
    def __del__(self):
        report("deleted")

def work():
    global made
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        made += 1
        Cycle()
        report("step")

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
os.write(2, b"over\\n")
gc.disable()
run.finish()
""",
        service.url,
    )
    del script.environ["PYTHONUNBUFFERED"]
    assert script.run() == 0, script.stderr
    # stdout itself may be garbled: Python's streams are not reentrant
    assert "over" in script.stderr
    logged = messages(service.client(), "seen")
    assert set(logged) <= {"step", "deleted"}
    assert logged.count("deleted") > 20


def test_a_run_may_be_ended_inside_its_end(service: Service, scripts: Scripts) -> None:
    script = scripts(
        """
import os, signal
import athanor

run = athanor.init("ends", id="seen")
run.log("one")

def on_signal(number, frame):
    run.fail("the handler")

signal.signal(signal.SIGALRM, on_signal)
signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
run.finish()
signal.setitimer(signal.ITIMER_REAL, 0)
print("over")
""",
        service.url,
    )
    assert script.run() == 0, script.stderr
    assert "over" in script.stdout
    assert messages(service.client(), "seen") == ["one"]
    assert service.client().get("/runs/seen").json()["status"] in ("completed", "failed")


def test_a_wake_may_be_set_inside_set_and_is_never_lost() -> None:
    """`take` and `put` in every order of their steps: an entry always wakes the recorder."""
    queue = EntryQueue(ClientLimits())
    queue.put(b"one")
    assert queue.filling.wait(0)
    queue.filling.clear()
    queue.put(b"two")
    # it comes between the clearing and the taking
    assert queue.take()[0] == [b"one", b"two"]
    assert not queue.filling.is_set()
    wake = Wake()
    for _ in range(3):
        wake.set()
    assert wake.wait(0)
    wake.clear()
    assert not wake.wait(0)
    wait_until(lambda: not wake.wait(0.001), "a wake that is not set")
