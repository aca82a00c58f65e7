"""`athanor serve --workers`: several processes behind one port, on PostgreSQL."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from ..support import plain
from ..support.commands import Started, athanor_, started
from ..support.follower import Follower, wait_until
from ..support.patience import PATIENCE
from ..support.scripts import environment, free_port
from ..support.service import ROOT, new_run

WORKERS = 2


@pytest.fixture
def service(tmp_path: Path, database: str) -> Iterator[Started]:
    options = ("--workers", str(WORKERS), "--database", database, "--port", "0")
    with started(tmp_path, "serve", *options) as command:
        command.wait_for(r"(Ctrl-C)")
        yield command


def url_of(service: Started) -> str:
    return service.wait_for(r"is at (http://127\.0\.0\.1:\d+)/")


def workers(service: Started) -> list[psutil.Process]:
    children = psutil.Process(service.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def each(url: str, name: str) -> dict[str, float]:
    """A metric's value by worker."""
    text = plain.get(f"{url}/metrics").text
    return {
        worker: float(value)
        for worker, value in re.findall(rf'^{name}{{worker="(\d+)"}} (\S+)$', text, re.MULTILINE)
    }


def test_every_worker_serves_and_every_reader_sees_the_same(service: Started) -> None:
    url = url_of(service)
    pids = {str(process.pid) for process in workers(service)}
    assert len(pids) == WORKERS
    with plain.client(base_url=url) as client:
        run = new_run(client)
    readers: list[Follower] = []

    def all_have_streams() -> bool:
        readers.append(Follower(url, f"/events/experiments:run:{run}", "0"))
        readers[-1].start()
        wait_until(lambda: readers[-1].connections, "the stream")
        streams = each(url, "athanor_subscribers")
        return streams.keys() == pids and all(streams.values())

    lines = 0

    def all_have_flushed() -> bool:
        nonlocal lines
        lines += 1
        answer = plain.post(f"{url}/runs/{run}/logs", json={"message": str(lines)})
        assert answer.status_code == 201
        return all(each(url, "athanor_flushes_total").values())

    # the kernel gives a connection to whoever accepts it
    wait_until(all_have_streams, "a stream at each worker")
    wait_until(lambda: sum(each(url, "athanor_subscribers").values()) == len(readers), "all numbers")
    wait_until(all_have_flushed, "a flush of each worker")
    plain.post(f"{url}/runs/{run}/complete").raise_for_status()
    for reader in readers:
        reader.finish()
        assert reader.seqs == list(range(1, lines + 1))


def test_a_worker_that_is_killed_is_replaced_and_its_readers_go_on(service: Started) -> None:
    url = url_of(service)
    with plain.client(base_url=url) as client:
        run = new_run(client)
        readers = [Follower(url, f"/events/experiments:run:{run}", "0") for _ in range(8)]
        for reader in readers:
            reader.start()
        wait_until(lambda: all(reader.connections for reader in readers), "the readers")
    killed = workers(service)[0]
    killed.kill()

    def post(message: str) -> bool:
        try:
            answer = plain.post(
                f"{url}/runs/{run}/logs",
                json={"message": message},
                headers={"Idempotency-Key": message},
            )
        except httpx.TransportError:  # it was the killed one's
            return False
        return answer.status_code == 201

    for number in range(20):
        wait_until(lambda: post(str(number)), "an answer")  # noqa: B023
    wait_until(lambda: len(each(url, "athanor_ready")) == WORKERS, "the new worker")
    assert str(killed.pid) not in each(url, "athanor_ready")
    plain.post(f"{url}/runs/{run}/complete").raise_for_status()
    for reader in readers:
        reader.finish()
        assert reader.seqs == list(range(1, 21))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_workers_and_their_streams_in_order(number: int, service: Started) -> None:
    url = url_of(service)
    with plain.client(base_url=url) as client:
        run = new_run(client)
    readers = [Follower(url, f"/events/experiments:run:{run}") for _ in range(10)]
    for reader in readers:
        reader.start()
    wait_until(lambda: sum(each(url, "athanor_subscribers").values()) == 10, "the readers")
    for reader in readers:
        reader.stopped = True  # it does not come back
    left = workers(service)
    if number == signal.SIGINT:
        os.killpg(service.process.pid, number)  # as a terminal does: to the workers as well
    else:
        service.process.send_signal(number)
    assert service.process.wait(PATIENCE) == 0
    for reader in readers:
        reader.finish()
        assert reader.clean_ends == 1
    assert not any(process.is_running() for process in left)
    assert "Traceback" not in service.said


def test_workers_end_with_a_supervisor_that_is_killed(service: Started) -> None:
    left = workers(service)
    assert len(left) == WORKERS
    service.process.kill()
    gone, alive = psutil.wait_procs(left, 30)
    assert not alive
    assert len(gone) == WORKERS


def test_sqlite_is_refused_by_a_sentence(tmp_path: Path) -> None:
    done = athanor_("serve", "--workers", "2", folder=tmp_path)
    assert done.returncode == 2
    assert "2 workers can't use athanor.db: SQLite serves one process" in done.stderr
    assert not (tmp_path / "athanor.db").exists()
    done = athanor_("serve", folder=tmp_path, WORKERS="2")
    assert "PostgreSQL serves several: ATHANOR_DATABASE_URL=postgresql://" in done.stderr


def test_a_database_that_is_not_there_ends_all_workers(tmp_path: Path) -> None:
    url = f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere"
    done = athanor_("serve", "--workers", "2", "--database", url, "--port", "0", folder=tmp_path)
    assert done.returncode == 3
    assert "the database that ATHANOR_DATABASE_URL names can't be used" in done.stderr


def uvicorn(folder: Path, **settings: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "app:app", "--workers", "2", "--port", "0", "--app-dir", ROOT],
        cwd=folder,
        env=environment(**settings),  # type: ignore[arg-type]
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_uvicorns_own_workers_say_why_sqlite_has_one(tmp_path: Path) -> None:
    with uvicorn(tmp_path) as server:
        said, _ = server.communicate(timeout=PATIENCE)
    assert "in use by another Athanor process, and SQLite serves one" in said
    assert "Traceback" not in said


def test_uvicorns_own_workers_serve_on_postgresql(tmp_path: Path, database: str) -> None:
    with uvicorn(tmp_path, DATABASE_URL=database) as server:
        assert server.stdout is not None
        said = ""
        while said.count("Application startup complete") < 2:
            said += (line := server.stdout.readline())
            assert line, said
        found = re.search(r"running on (http://\S+)", said)
        assert found is not None
        with plain.client(base_url=found[1]) as client:
            run = new_run(client)
        assert plain.get(f"{found[1]}/runs/{run}").json()["status"] == "running"
        server.terminate()
        said, _ = server.communicate(timeout=PATIENCE)
        assert server.returncode == 0
    assert "Traceback" not in said
