"""Several processes of one run: all entries arrive once and in order; one process ends the run."""

from __future__ import annotations

import textwrap

import httpx
import pytest

from ..support.follower import wait_until
from ..support.scripts import Scripts, messages, status, stored
from ..support.service import Service

PROCESSES = 10
ENTRIES = 2000


def by_process(messages: list[str]) -> dict[str, list[int]]:
    """The numbers in messages of the form `process number`, by process."""
    found: dict[str, list[int]] = {}
    for message in messages:
        process, number = message.split()
        found.setdefault(process, []).append(int(number))
    return found


MEMBER = """
import pathlib, sys, time
import athanor

name, count = sys.argv[1], int(sys.argv[2])
with athanor.init("team") as run:
    for number in range(count):
        if number == count // 2:
            while not pathlib.Path("go").exists():
                time.sleep(0.01)
        run.log(f"{name} {number}")
"""

OWNER = f"""
import os, pathlib, subprocess, sys
import athanor

with athanor.init("team", id="team", finish_timeout=60) as run:
    environ = {{**os.environ, "ATHANOR_RUN_ID": run.id, "ATHANOR_FINISH_TIMEOUT": "60"}}
    members = [
        subprocess.Popen([sys.executable, "member.py", f"p{{n}}", "{ENTRIES}"], env=environ)
        for n in range({PROCESSES})
    ]
    for number in range({ENTRIES}):
        run.log(f"owner {{number}}")
    codes = [member.wait() for member in members]
    print("members", codes)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "service killed"])
def test_ten_processes_report_to_one_run(killed: bool, service: Service, scripts: Scripts) -> None:
    owner = scripts(OWNER, service.url)
    (owner.folder / "member.py").write_text(MEMBER)
    owner.start()
    client = service.client()
    # each reaches the service before the kill; one that never has does not wait for it at its end
    first = ENTRIES + PROCESSES * ENTRIES // 2
    wait_until(lambda: stored(client, "team") == first, "the owner's entries and half of all others")
    if killed:
        service.kill()
    (owner.folder / "go").touch()
    if killed:
        wait_until(lambda: owner.spools, "a spool")
        service.start()
    owner.wait_for("]\n")
    assert owner.stdout == f"members {[0] * PROCESSES}\n"
    wait_until(lambda: stored(client, "team") == ENTRIES * (PROCESSES + 1), "all entries")
    # members do not end the run
    assert status(client, "team") == "running"
    owner.send_line()
    assert owner.wait() == 0
    assert status(client, "team") == "completed"
    found = by_process(messages(client, "team"))
    assert found == {
        process: list(range(ENTRIES)) for process in ("owner", *(f"p{n}" for n in range(PROCESSES)))
    }
    assert owner.spools == []


def test_a_member_that_fails_logs_it_and_the_owner_ends_the_run(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    owner = scripts(
        """
        import sys
        import athanor

        with athanor.init("shaken", id="shaken") as run:
            run.log("0")
            sys.stdin.readline()
        """,
        shared_service.url,
    ).start()
    wait_until(lambda: stored(client, "shaken") == 1, "the owner's entry")
    member = scripts(
        """
        import athanor

        with athanor.init("shaken"):
            raise ValueError("one of many")
        """,
        shared_service.url,
        run_id="shaken",
    )
    assert member.run() == 1
    assert status(client, "shaken") == "running"
    owner.send_line()
    assert owner.wait() == 0
    assert status(client, "shaken") == "completed"
    _, entry = client.get("/runs/shaken/logs").json()["logs"]
    assert entry["level"] == "error"
    assert entry["message"].endswith("ValueError: one of many")


FORK_ENDS = {
    "finish and os._exit": "run.finish(); os._exit(0)",
    "sys.exit": "sys.exit(0)",
    "the end of the block": "break",
}


@pytest.mark.parametrize("end", list(FORK_ENDS))
def test_forked_children_report_to_the_same_run(
    end: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    id = f"forks-{list(FORK_ENDS).index(end)}"
    script = scripts(
        f"""
        import os, sys, threading
        import athanor

        def spin(run):
            for number in range(1000):
                run.log(f"thread {{number}}")

        parent, children = os.getpid(), []
        with athanor.init("forks", id={id!r}) as run:
            # some of these are in the queue while it forks
            for number in range(1000):
                run.log(f"parent {{number}}")
            thread = threading.Thread(target=spin, args=[run])
            thread.start()
            for child in range(4):
                pid = os.fork()
                if pid == 0:
                    for number in range(1000):
                        run.log(f"child-{{child}} {{number}}")
                    {FORK_ENDS[end]}
                children.append(pid)
            if os.getpid() == parent:
                for number in range(1000, 2000):
                    run.log(f"parent {{number}}")
                thread.join()
                codes = [os.waitpid(pid, 0)[1] for pid in children]
        if os.getpid() == parent:
            print(codes)
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert script.stdout == "[0, 0, 0, 0]\n"
    assert script.notices == []
    assert by_process(messages(client, id)) == {
        "parent": list(range(2000)),
        "thread": list(range(1000)),
        **{f"child-{child}": list(range(1000)) for child in range(4)},
    }
    assert status(client, id) == "completed"
    assert script.spools == []
    assert script.notices == []


def test_forked_children_have_their_own_spools_while_the_service_is_away(
    service: Service, scripts: Scripts
) -> None:
    script = scripts(
        """
        import os, sys
        import athanor

        children = []
        with athanor.init("forks", id="forks") as run:
            run.log("parent 0")
            sys.stdin.readline()
            for number in range(1, 1000):
                run.log(f"parent {number}")
            print("spooled")
            sys.stdin.readline()
            for child in range(3):
                pid = os.fork()
                if pid == 0:
                    for number in range(1000):
                        run.log(f"child-{child} {number}")
                    sys.exit()
                children.append(pid)
            for pid in children:
                os.waitpid(pid, 0)
            for number in range(1000, 2000):
                run.log(f"parent {number}")
        """,
        service.url,
        finish_timeout=60,
    ).start()
    client = service.client()
    wait_until(lambda: stored(client, "forks") == 1, "the first entry")
    service.kill()
    script.send_line()
    script.wait_for("spooled")
    wait_until(lambda: script.spools, "the parent's spool")
    script.send_line()
    wait_until(lambda: len(script.spools) == 4, "the children's spools")
    service.start()
    assert script.wait() == 0
    assert by_process(messages(client, "forks")) == {
        "parent": list(range(2000)),
        **{f"child-{child}": list(range(1000)) for child in range(3)},
    }
    assert status(client, "forks") == "completed"
    assert script.spools == []


WORK = textwrap.dedent(
    """
    import concurrent.futures, functools, multiprocessing, os, sys
    import athanor

    def work(run, name):
        for number in range(1000):
            run.log(f"{name} {number}")
        return os.getpid()

    def main(run, context):
        names = [f"w{n}" for n in range(6)]
BODY

    if __name__ == "__main__":
        context = multiprocessing.get_context(METHOD)
        with athanor.init("workers", id=ID) as run:
            for number in range(1000):
                run.log(f"parent {number}")
            pids = main(run, context)
            assert os.getpid() not in pids
            for number in range(1000, 2000):
                run.log(f"parent {number}")
    """
)

BODIES = {
    "processes": """
        workers = [context.Process(target=work, args=(run, name)) for name in names]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        exits = [worker.exitcode for worker in workers]
        assert exits == [0] * 6, exits
        return {worker.pid for worker in workers}
""",
    "pool, joined": """
        pool = context.Pool(3)
        pids = pool.map(functools.partial(work, run), names)
        pool.close()
        pool.join()
        return pids
""",
    "pool, terminated": """
        with context.Pool(3) as pool:
            return pool.map(functools.partial(work, run), names)
""",
    "executor": """
        with concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool:
            return list(pool.map(functools.partial(work, run), names))
""",
}


@pytest.mark.parametrize("body", list(BODIES))
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_report_to_the_run_they_are_given(
    method: str, body: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    id = f"{method}-{list(BODIES).index(body)}"
    text = WORK.replace("BODY", BODIES[body]).replace("METHOD", repr(method)).replace("ID", repr(id))
    script = scripts(text, shared_service.url)
    assert script.run() == 0, script.stderr
    assert by_process(messages(client, id)) == {
        "parent": list(range(2000)),
        **{f"w{n}": list(range(1000)) for n in range(6)},
    }
    assert status(client, id) == "completed"
    assert script.spools == []
    assert script.stderr == ""


def test_a_worker_that_misses_its_sigterm_gets_it_again(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    """The signal comes just before the main thread waits for a lock, and does not interrupt that."""
    script = scripts(
        """
        import multiprocessing, signal, threading
        import athanor

        def miss_it():
            state = "R"
            while state != "S":
                with open("/proc/self/stat") as file:
                    state = file.read().rpartition(")")[2].split()[0]
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

        def work(run, held):
            run.log("from the worker")
            threading.Thread(target=miss_it).start()
            held.acquire()

        if __name__ == "__main__":
            context = multiprocessing.get_context("spawn")
            held = context.Lock()
            held.acquire()
            with athanor.init("missed", id="missed") as run:
                worker = context.Process(target=work, args=(run, held))
                worker.start()
                worker.join()
            assert worker.exitcode == -signal.SIGTERM, worker.exitcode
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    assert messages(client, "missed") == ["from the worker"]
    assert status(client, "missed") == "completed"
