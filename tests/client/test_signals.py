"""SIGTERM and SIGHUP end a script as they always do, after its entries and its end are safe."""

from __future__ import annotations

import os
import signal

import pytest

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, free_port, messages, status, stored, sync
from ..support.service import Service

ENDING = [signal.SIGTERM, signal.SIGHUP]

LOOP = """
import itertools
import athanor

run = athanor.init("preempted", id="seen")
for number in itertools.count(1):
    run.log(str(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_fails_the_run_by_its_name_and_loses_no_entry(
    service: Service, scripts: Scripts, number: signal.Signals
) -> None:
    script = scripts(LOOP, service.url).start()
    client = service.client()
    # a signal leaves two seconds, which are not enough for a new run on a busy machine
    wait_until(lambda: stored(client, "seen") > 300, "stored entries")
    script.send(number)
    assert script.wait(20) == -number
    run = client.get("/runs/seen").json()
    assert (run["status"], run["error"]) == ("failed", f"killed by {number.name}")
    logged = messages(client, "seen")
    assert logged == [str(n) for n in range(1, len(logged) + 1)]
    # the last line may be printed and not logged, or the other way round
    assert len(logged) >= int(script.stdout.split()[-1]) - 1


def test_without_a_service_the_spool_has_the_entries_and_the_end(scripts: Scripts) -> None:
    port = free_port()
    script = scripts(LOOP, f"http://127.0.0.1:{port}").start()
    wait_until(lambda: script.stdout.count("\n") > 300, "some output")
    script.send(signal.SIGTERM)
    assert script.wait(20) == -signal.SIGTERM
    (spool,) = script.spools
    assert b'"killed by SIGTERM"' in spool.read_bytes()


def test_what_a_signal_left_in_the_spool_is_delivered_as_a_failed_run(
    service: Service, scripts: Scripts
) -> None:
    script = scripts(LOOP, f"http://127.0.0.1:{free_port()}").start()
    wait_until(lambda: script.stdout.count("\n") > 300, "some output")
    script.send(signal.SIGHUP)
    assert script.wait(20) == -signal.SIGHUP
    assert sync(script.folder, service.url).returncode == 0
    run = service.client().get("/runs/seen").json()
    assert (run["status"], run["error"]) == ("failed", "killed by SIGHUP")
    assert run["log_count"] >= 300


HANDLERS = {
    "before init": "signal.signal(signal.SIGTERM, on_signal)\nrun = athanor.init('own', id='seen')",
    "after init": "run = athanor.init('own', id='seen')\nsignal.signal(signal.SIGTERM, on_signal)",
}


@pytest.mark.parametrize("when", HANDLERS)
def test_a_handler_of_the_script_is_respected(service: Service, scripts: Scripts, when: str) -> None:
    script = scripts(
        f"""
import signal, sys
import athanor

def on_signal(number, frame):
    run.log("saving a checkpoint")
    run.finish()
    sys.exit(0)

{HANDLERS[when]}
print("ready", flush=True)
while True:
    signal.pause()
""",
        service.url,
    ).start()
    script.wait_for("ready")
    script.send(signal.SIGTERM)
    assert script.wait(20) == 0
    client = service.client()
    assert messages(client, "seen") == ["saving a checkpoint"]
    assert client.get("/runs/seen").json()["status"] == "completed"


def ignore_hangup() -> None:
    """As `nohup` does."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_an_ignored_signal_stays_ignored(service: Service, scripts: Scripts) -> None:
    script = scripts(LOOP, service.url).start(ignore_hangup)
    wait_until(lambda: script.stdout.count("\n") > 100, "some output")
    script.send(signal.SIGHUP)
    seen = script.stdout.count("\n")
    wait_until(lambda: script.stdout.count("\n") > seen + 1000, "more output")
    assert script.is_alive
    script.send(signal.SIGTERM)
    assert script.wait(20) == -signal.SIGTERM


def test_a_setting_turns_it_off(service: Service, scripts: Scripts) -> None:
    script = scripts(LOOP, service.url, signals=0).start()
    wait_until(lambda: stored(service.client(), "seen") > 100, "stored entries")
    script.send(signal.SIGTERM)
    assert script.wait(20) == -signal.SIGTERM
    assert service.client().get("/runs/seen").json()["status"] == "running"


@pytest.mark.parametrize(
    "blocked",
    [
        "lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "time.sleep(60)",
        "sum(range(3 * 10**8))",
        "queue.SimpleQueue().get()",
        "os.read(os.pipe()[0], 1)",
        "asyncio.run(asyncio.sleep(60))",
    ],
)
def test_a_main_thread_that_is_blocked_does_not_keep_a_run_running(
    service: Service, scripts: Scripts, blocked: str
) -> None:
    script = scripts(
        f"""
import asyncio, os, queue, threading, time
import athanor

run = athanor.init("blocked", id="seen")
run.log("one")
input()
print("ready", flush=True)
{blocked}
""",
        service.url,
    ).start()
    client = service.client()
    wait_until(lambda: stored(client, "seen") == 1, "its entry")
    script.send_line()
    script.wait_for("ready")
    script.send(signal.SIGTERM)
    wait_until(lambda: status(client, "seen") == "failed", "the run's end")
    assert messages(client, "seen") == ["one"]
    assert script.wait(PATIENCE) == -signal.SIGTERM


def test_members_leave_the_end_to_the_process_that_began_the_run(
    service: Service, scripts: Scripts
) -> None:
    """A scheduler sends the signal to all processes of a job at once.

    `print` writes a text and its end separately, which would mix the lines of processes.
    """
    script = scripts(
        """
import os, signal
import athanor

run = athanor.init("job", id="seen")
for number in range(3):
    if os.fork() == 0:
        run.log(f"child {number}")
        os.write(1, b"child\\n")
        while True:
            signal.pause()
run.log("parent")
os.write(1, b"parent\\n")
while True:
    signal.pause()
""",
        service.url,
    ).start(os.setsid)
    wait_until(lambda: sorted(script.stdout.split()) == ["child"] * 3 + ["parent"], "all processes")
    client = service.client()
    wait_until(lambda: stored(client, "seen") == 4, "the entries of all")
    assert script.process is not None
    os.killpg(script.process.pid, signal.SIGTERM)
    assert script.wait(20) == -signal.SIGTERM
    run = client.get("/runs/seen").json()
    assert (run["status"], run["error"]) == ("failed", "killed by SIGTERM")
    assert sorted(messages(client, "seen")) == ["child 0", "child 1", "child 2", "parent"]
