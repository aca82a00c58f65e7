"""Every entry of a script arrives once and in order, and its run ends, whatever happens."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ..support.follower import wait_until
from ..support.scripts import (
    Scripts,
    free_port,
    has_started,
    numbers,
    spooled_lines,
    status,
    stored,
    sync,
)
from ..support.service import Service

ENTRIES = 50_000
KILLS = 5


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Service]:
    """A service that was not started yet; its port is known."""
    service = Service(tmp_path)
    service.port = free_port()
    yield service
    service.close()


def test_five_kills_of_the_service_lose_and_double_none_of_50_000_entries(
    service: Service, scripts: Scripts
) -> None:
    script = scripts(
        f"""
        import hashlib, sys
        import athanor

        page = bytes(8192)
        with athanor.init("many", id="many") as run:
            for number in range({ENTRIES}):
                if number == {ENTRIES - 5000}:
                    # until the last kill
                    sys.stdin.readline()
                hashlib.sha256(page)
                run.log(str(number))
        """,
        service.url,
        finish_timeout=60,
    ).start()
    for kill in range(1, KILLS + 1):
        goal = kill * ENTRIES // (KILLS + 2)
        wait_until(lambda: stored(service.client(), "many") >= goal, f"{goal} entries")  # noqa: B023
        service.kill()
        assert script.is_alive
        service.start()
    script.send_line()
    assert script.wait() == 0
    client = service.client()
    assert numbers(client, "many") == list(range(ENTRIES))
    assert status(client, "many") == "completed"
    assert script.spools == []
    # away, and back
    assert len(script.notices) == len(set(script.notices)) <= 2


def test_entries_spooled_while_the_service_is_away_are_sent_when_it_is_back(
    service: Service, scripts: Scripts
) -> None:
    script = scripts(
        """
        import sys
        import athanor

        with athanor.init("gone", id="gone") as run:
            for part in range(3):
                for number in range(part * 1000, part * 1000 + 1000):
                    run.log(str(number))
                print("part", part)
                sys.stdin.readline()
        """,
        service.url,
    ).start()
    client = service.client()
    script.wait_for("part 0")
    wait_until(lambda: stored(client, "gone") == 1000, "the first part")
    service.kill()
    script.send_line()
    script.wait_for("part 1")
    wait_until(lambda: script.spools, "a spool")
    wait_until(lambda: script.spools[0].read_bytes().count(b"run_log") == 1000, "the second part")
    script.send_line()
    script.wait_for("part 2")
    service.start()
    wait_until(lambda: stored(client, "gone") == 3000, "all parts")
    wait_until(lambda: not script.spools, "the spool's end")
    assert status(client, "gone") == "running"
    script.send_line()
    assert script.wait() == 0
    assert numbers(client, "gone") == list(range(3000))
    assert status(client, "gone") == "completed"


WAYS = {
    "completed": "",
    "failed": "raise ValueError('diverged')",
    "killed": "print('killed'); sys.stdin.readline()",
}
"""How a script ends, and what it does for that after its entries."""


@pytest.mark.parametrize("mode", ["online", "offline"])
@pytest.mark.parametrize("way", list(WAYS))
def test_sync_delivers_what_a_script_reported_without_a_service(
    way: str, mode: str, stopped: Service, scripts: Scripts
) -> None:
    script = scripts(
        f"""
        import sys
        import athanor

        with athanor.init("alone", id="alone", name="first", config={{"lr": 0.1}}) as run:
            for number in range(20_000):
                run.log(str(number))
            run.log({{"loss": 0.5}}, step=3)
            {WAYS[way]}
        """,
        stopped.url,
        mode=mode,
    ).start()
    if way == "killed":
        script.wait_for("killed")
        wait_until(
            lambda: script.spools and b"run_result" in script.spools[0].read_bytes(), "the entries"
        )
        # sync skips the spools of processes that are alive
        assert sync(script.folder, stopped.url).returncode == 0
        script.send(signal.SIGKILL)
    assert script.wait() == {"completed": 0, "failed": 1, "killed": -signal.SIGKILL}[way]
    (spool,) = script.spools
    if way != "killed":
        (notice,) = [line for line in script.notices if str(spool.relative_to(script.folder)) in line]
        assert "20,001 lines" in notice
        assert "athanor sync" in notice
    assert len(script.notices) == len(set(script.notices)) <= 2

    # the service was not started yet
    failed = sync(script.folder, stopped.url)
    assert failed.returncode == 1
    assert script.spools == [spool]

    client = stopped.start().client()
    # the second time there is nothing to deliver
    for _ in range(2):
        done = sync(script.folder, stopped.url)
        assert done.returncode == 0, done.stderr
        assert script.spools == []
        assert numbers(client, "alone") == list(range(20_000))
    (result,) = client.get("/runs/alone/results").json()["results"]
    assert (result["key"], result["value"], result["step"]) == ("loss", 0.5, 3)
    run = client.get("/runs/alone").json()
    assert run["metadata"]["name"] == "first"
    (instance,) = client.get("/instances?name=alone").json()["instances"]
    assert instance["configuration"] == {"lr": 0.1}
    if way == "completed":
        assert (run["status"], run["error"]) == ("completed", None)
    elif way == "failed":
        assert run["status"] == "failed"
        assert "Traceback" in run["error"]
        assert run["error"].endswith("ValueError: diverged")
    else:
        assert run["status"] == "failed"
        assert run["error"] == "the process ended without reporting how"


def test_offline_a_running_service_gets_no_request(service: Service, scripts: Scripts) -> None:
    script = scripts(
        """
        import athanor

        with athanor.init("quiet", id="quiet") as run:
            for number in run.track(range(1000)):
                run.log(str(number))
        """,
        service.url,
        mode="offline",
    )
    assert script.run() == 0
    client = service.client()
    assert client.get("/runs").json()["runs"] == []
    assert client.get("/instances").json()["instances"] == []
    (notice,) = script.notices
    assert "1,000 lines" in notice
    assert len(spooled_lines(script.spools[0])) == 1000


def test_disabled_nothing_is_sent_kept_or_written(service: Service, scripts: Scripts) -> None:
    script = scripts(
        """
        import threading
        import athanor

        with athanor.init("nothing") as run:
            for number in run.track(range(1000)):
                run.log(str(number))
        print(threading.active_count())
        """,
        service.url,
        mode="disabled",
    )
    assert script.run() == 0
    assert script.stdout == "1\n"
    assert script.stderr == ""
    assert not script.spool.parent.exists()
    assert service.client().get("/runs").json()["runs"] == []


def test_sync_goes_on_where_a_script_stopped(service: Service, scripts: Scripts) -> None:
    script = scripts(
        """
        import sys
        import athanor

        with athanor.init("half", id="half", finish_timeout=0.5) as run:
            for number in range(60_000):
                run.log(str(number))
                if number == 20_000:
                    sys.stdin.readline()
        """,
        service.url,
    ).start()
    client = service.client()
    wait_until(lambda: stored(client, "half") > 0, "its first entries")
    service.kill()
    script.send_line()
    assert script.wait() == 0
    assert len(script.spools) == 1
    service.start()
    assert 0 < stored(client, "half") < 60_000
    assert status(client, "half") == "running"
    done = sync(script.folder, service.url)
    assert done.returncode == 0, done.stderr
    assert numbers(client, "half") == list(range(60_000))
    assert status(client, "half") == "completed"
    assert script.spools == []


ENDS: dict[str, tuple[str, bool, str, str | None]] = {
    "not ended": ("", True, "completed", None),
    "finished": ("run.finish()", True, "completed", None),
    "failed": ("run.fail('no luck')", True, "failed", "no luck"),
    "exception": ("raise ValueError('diverged')", False, "failed", "ValueError: diverged"),
    "interrupted": ("raise KeyboardInterrupt", False, "cancelled", None),
    "cancelled": ("run.cancel()", True, "cancelled", None),
}
"""What a script does last, whether its exit code is 0, how its run ended, and the error."""


@pytest.mark.parametrize("end", list(ENDS))
def test_without_a_with_block_the_run_ends_with_the_script(
    end: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    text, succeeds, expected, error = ENDS[end]
    id = f"bare-{end.replace(' ', '-')}"
    script = scripts(
        f"""
        import athanor

        run = athanor.init("bare", id={id!r})
        for number in range(5000):
            run.log(str(number))
        {text}
        """,
        shared_service.url,
    )
    assert (script.run() == 0) == succeeds
    assert numbers(client, id) == list(range(5000))
    run = client.get(f"/runs/{id}").json()
    assert run["status"] == expected
    assert (run["error"] or "").endswith(error or "")
    if end == "exception":
        assert "script.py" in run["error"]
        assert "Traceback" in run["error"]
    assert script.notices == []
    assert script.spools == []


@pytest.mark.parametrize("block", ["with", "async with"])
def test_an_exception_in_the_block_fails_the_run_with_its_traceback(
    block: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    id = f"block-{block.replace(' ', '-')}"
    script = scripts(
        f"""
        import asyncio
        import athanor

        async def main():
            {block} athanor.init("block", id={id!r}) as run:
                run.log("0")
                raise ValueError("diverged")

        asyncio.run(main())
        """,
        shared_service.url,
    )
    assert script.run() == 1
    assert "ValueError: diverged" in script.stderr
    run = client.get(f"/runs/{id}").json()
    assert run["status"] == "failed"
    assert run["error"].startswith("Traceback")
    assert run["error"].endswith("ValueError: diverged")
    assert numbers(client, id) == [0]


def test_cancelling_ends_a_tracked_loop_and_keeps_its_last_entries(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import time
        import athanor

        with athanor.init("long", id="long") as run:
            try:
                for number in run.track(range(10_000), "train"):
                    run.log(str(number))
                    time.sleep(0.1)
            finally:
                run.log("-1")
        """,
        shared_service.url,
    ).start()
    wait_until(lambda: stored(client, "long") > 3, "its first entries")
    client.post("/runs/long/cancel").raise_for_status()
    assert script.wait() == 130
    assert script.stderr == ""
    assert status(client, "long") == "cancelled"
    logged = numbers(client, "long")
    assert logged == [*range(len(logged) - 1), -1]
    assert len(logged) < 10_000


def test_a_script_that_never_stops_logging_shows_progress(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import time
        import athanor

        with athanor.init("busy", id="busy") as run:
            for number in run.track(range(10**9), "train"):
                run.log(str(number))
                time.sleep(0.0005)
        """,
        shared_service.url,
    ).start()

    def progress() -> float:
        response = client.get("/runs/busy")
        found = response.json()["progress"] if response.status_code == 200 else None
        return float(found["current"]) if found else 0

    for goal in (1, 500, 1000):
        wait_until(lambda: progress() >= goal, f"step {goal}")  # noqa: B023
    script.send(signal.SIGINT)
    assert script.wait() == -signal.SIGINT


def test_a_loop_that_checks_cancelled_ends_too(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import time
        import athanor

        with athanor.init("checks", id="checks") as run:
            print("began")
            while not run.cancelled:
                time.sleep(0.1)
            run.log("1")
        """,
        shared_service.url,
    ).start()
    # a run that is cancelled before its start takes no entries
    wait_until(lambda: has_started(client, "checks"), "its start")
    client.post("/runs/checks/cancel").raise_for_status()
    assert script.wait() == 0
    assert status(client, "checks") == "cancelled"
    assert numbers(client, "checks") == [1]


def test_ctrl_c_cancels(shared_service: Service, client: httpx.Client, scripts: Scripts) -> None:
    script = scripts(
        """
        import time
        import athanor

        with athanor.init("interrupted", id="interrupted") as run:
            for number in run.track(range(10_000)):
                run.log(str(number))
                time.sleep(0.01)
        """,
        shared_service.url,
    ).start()
    wait_until(lambda: stored(client, "interrupted") > 3, "its first entries")
    script.send(signal.SIGINT)
    assert script.wait() == -signal.SIGINT
    assert "KeyboardInterrupt" in script.stderr
    assert status(client, "interrupted") == "cancelled"
    logged = numbers(client, "interrupted")
    assert logged == list(range(len(logged)))
    assert script.spools == []


def test_a_service_that_never_responds_costs_finish_timeout_and_no_entry(
    stopped: Service, scripts: Scripts
) -> None:
    script = scripts(
        """
        import time
        import athanor

        run = athanor.init("mute", id="mute", finish_timeout=1)
        for number in range(3000):
            run.log(str(number))
        began = time.monotonic()
        run.finish()
        print(time.monotonic() - began)
        """,
        stopped.url,
    )
    # the kernel accepts the connections, and no process reads from them
    with socket.create_server(("127.0.0.1", stopped.port)):
        assert script.run() == 0
    assert 1 <= float(script.stdout) < 1 + 10
    (notice,) = script.notices
    assert "3,000 lines" in notice
    (spool,) = script.spools
    assert str(spool.relative_to(script.folder)) in notice
    assert len(spooled_lines(spool)) == 3000

    client = stopped.start().client()
    assert sync(script.folder, stopped.url).returncode == 0
    assert numbers(client, "mute") == list(range(3000))
    assert status(client, "mute") == "completed"


def test_a_run_that_has_ended_takes_nothing_more_and_notices_say_so(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import sys
        import athanor

        with athanor.init("over", id="over") as run:
            run.log("0")
            sys.stdin.readline()
            for number in range(1, 1000):
                run.log(str(number))
        run.log("late")
        run.log("later")
        """,
        shared_service.url,
    ).start()
    wait_until(lambda: stored(client, "over") == 1, "its first entry")
    client.post("/runs/over/fail", json={"error": "another client"}).raise_for_status()
    script.send_line()
    assert script.wait() == 0
    assert numbers(client, "over") == [0]
    assert client.get("/runs/over").json()["error"] == "another client"
    assert [line for line in script.notices if "run over is failed" in line] == script.notices[:1]
    assert [line for line in script.notices if "left out" in line] == script.notices[1:]
    assert script.spools == []


def test_entries_keep_the_time_at_which_they_were_reported(stopped: Service, scripts: Scripts) -> None:
    script = scripts(
        """
        import datetime
        import athanor

        run = athanor.init("when", id="when")
        now = lambda: datetime.datetime.now(datetime.timezone.utc).isoformat()
        print(now())
        run.log("0", loss=0.5)
        print(now())
        """,
        stopped.url,
        mode="offline",
    )
    assert script.run() == 0
    before, after = script.stdout.split()
    client = stopped.start().client()
    assert sync(script.folder, stopped.url).returncode == 0
    (entry,) = client.get("/runs/when/logs").json()["logs"]
    assert before <= entry["timestamp"].replace("Z", "+00:00") <= after
    assert entry["metadata"] == {"loss": 0.5}
    assert script.spools == []
