"""Trouble: the script goes on, one notice says what happened, and no entry is lost."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from ..support.follower import wait_until
from ..support.impostor import CuttingProxy, Impostor, problem, response
from ..support.patience import PATIENCE
from ..support.scripts import (
    Scripts,
    environment,
    free_port,
    messages,
    numbers,
    spooled_lines,
    status,
    sync,
)
from ..support.service import Service

SCRIPT = """
import sys
import athanor

with athanor.init("trouble", id={id!r}, finish_timeout=2) as run:
    for number in run.track(range(1000)):
        run.log(str(number))
    print("went on")
    sys.stdin.readline()
"""

HTML = b"<!doctype html><title>Welcome</title>"
RESPONSES: dict[str, tuple[bytes | None, str]] = {
    "401": (problem(401, "log in first"), "answered 401: log in first"),
    "403": (response("403 Forbidden", HTML, "Content-Type: text/html"), "answered 403: Forbidden"),
    "404": (response("404 Not Found", HTML), "answered 404: Not Found"),
    "409": (problem(409, "no"), "answered 409: no"),
    "413": (problem(413, "too much"), "answered 413: too much"),
    "422": (problem(422, "not valid"), "answered 422: not valid"),
    "500": (response("500 Oops", HTML), "answered 500: Oops"),
    "503": (response("503 Busy", b"", "Retry-After: 1"), "answered 503: Busy"),
    "302": (response("302 Found", b"", "Location: /login"), "answered 302: /login"),
    "HTML": (response("200 OK", HTML, "Content-Type: text/html"), "text/html: is an Athanor there?"),
    "JSON": (response("200 OK", b"[1]", "Content-Type: application/json"), "is an Athanor there?"),
    "no type": (response("200 OK", b"ok"), "something of no type: is an Athanor there?"),
    "empty": (response("204 No Content"), "answered 204"),
    "garbage": (b"\x00\xff\x16\x03 no HTTP at all\r\n\r\n", "can't be reached"),
    "half": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "can't be reached"),
    "nothing": (None, "can't be reached"),
}


@pytest.mark.parametrize("data", [problem(401, "log in first"), None])
def test_a_login_in_the_address_is_not_shown(data: bytes | None, scripts: Scripts) -> None:
    with Impostor(data) as impostor:
        address = impostor.url.replace("//", "//alice:secret@")
        script = scripts(SCRIPT.format(id="login") + "print(run.url)", address).start()
        script.wait_for("went on")
        script.send_line()
        assert script.wait() == 0
        runs = subprocess.run(
            [sys.executable, "-m", "athanor", "runs"],
            env=environment(address),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    shown = script.stdout + script.stderr + runs.stdout + runs.stderr
    assert impostor.url in shown
    assert "secret" not in shown


@pytest.mark.parametrize("case", list(RESPONSES))
def test_the_script_goes_on_and_a_notice_names_what_responds(
    case: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    data, expected = RESPONSES[case]
    id = f"response-{case.replace(' ', '-')}"
    with Impostor(data) as impostor:
        script = scripts(SCRIPT.format(id=id), impostor.url).start()
        script.wait_for("went on")
        wait_until(lambda: script.notices, "a notice")
        script.send_line()
        assert script.wait() == 0
    first, last = script.notices
    assert expected in first
    assert "lines are kept until it takes them" in first
    assert "1,000 lines" in last
    assert "athanor sync" in last
    assert "Traceback" not in script.stderr
    assert len(spooled_lines(script.spools[0])) == 1000
    assert sync(script.folder, shared_service.url).returncode == 0
    assert numbers(client, id) == list(range(1000))
    assert status(client, id) == "completed"


def test_a_service_that_recovers_gets_everything(tmp_path: Path, scripts: Scripts) -> None:
    port = free_port()
    with Impostor(response("500 Oops"), port) as impostor:
        script = scripts(SCRIPT.format(id="recovers"), impostor.url).start()
        script.wait_for("went on")
        wait_until(lambda: script.notices, "a notice")
    service = Service(tmp_path)
    service.port = port
    try:
        client = service.start().client()
        wait_until(lambda: "is back" in script.stderr, "a notice")
        script.send_line()
        assert script.wait() == 0
        assert numbers(client, "recovers") == list(range(1000))
        assert status(client, "recovers") == "completed"
    finally:
        service.close()
    assert len(script.notices) == 2
    assert script.spools == []


@pytest.mark.parametrize("seed", range(3))
def test_a_proxy_that_cuts_connections_loses_and_doubles_no_entry(
    seed: int, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    id = f"cut-{seed}"
    with CuttingProxy(shared_service.port, 4000, seed) as proxy:
        script = scripts(
            f"""
            import os, time
            import athanor

            count = 0
            with athanor.init("cut", id={id!r}, finish_timeout=60) as run:
                while count < 300 or not os.path.exists("enough"):
                    run.log(str(count))
                    count += 1
                    time.sleep(0.01)
                print(count)
            """,
            proxy.url,
        ).start()
        wait_until(lambda: proxy.cuts > 3, "cuts")
        proxy.is_cutting = False
        (script.folder / "enough").touch()
        assert script.wait() == 0
    assert numbers(client, id) == list(range(int(script.stdout)))
    assert status(client, id) == "completed"
    assert len(script.notices) == len(set(script.notices)) <= 2
    assert script.spools == []


def test_only_refused_entries_are_left_out(
    scripts: Scripts, shared_service: Service, client: httpx.Client
) -> None:
    script = scripts(
        """
        import athanor

        with athanor.init("refused", id="refused") as run:
            for number in range(100):
                run.log(str(number))
            # as an error in the client would do
            run._put(lambda: b'{"type":"run_log","message":7}\\n')
            run._put(lambda: b'{"type":"nonsense"}\\n')
            for number in range(100, 200):
                run.log(str(number))
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert numbers(client, "refused") == list(range(200))
    assert status(client, "refused") == "completed"
    (notice,) = script.notices
    assert "a line was refused and is left out" in notice
    assert '"message":7' in notice


def test_a_service_with_a_smaller_body_limit_gets_smaller_batches(
    tmp_path: Path, scripts: Scripts
) -> None:
    service = Service(tmp_path, max_body_bytes=5000, max_message_bytes=2000).start()
    try:
        script = scripts(
            """
            import athanor

            with athanor.init("small", id="small") as run:
                for number in range(1000):
                    run.log(str(number))
                run.log("x" * 3000)
                run.log("1000")
            """,
            service.url,
        )
        assert script.run() == 0
        assert numbers(service.client(), "small") == list(range(1001))
    finally:
        service.close()
    (notice,) = script.notices
    assert "a line was refused and is left out" in notice


FULL: dict[str, Callable[[], None] | None] = {
    "disk full": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)),
    "no such folder": None,
}


@pytest.mark.parametrize("case", list(FULL))
def test_when_the_disk_fails_a_notice_says_so_and_entries_wait_in_memory(
    case: str, tmp_path: Path, scripts: Scripts
) -> None:
    (tmp_path / "file").write_text("no folder")
    service = Service(tmp_path)
    service.port = free_port()
    script = scripts(
        SCRIPT.format(id="full"),
        service.url,
        **({"spool": tmp_path / "file" / "spool"} if FULL[case] is None else {}),
    ).start(FULL[case])
    script.wait_for("went on")
    wait_until(lambda: len(script.notices) == 2, "both notices")
    try:
        client = service.start().client()
        wait_until(lambda: "is back" in script.stderr, "a notice")
        script.send_line()
        assert script.wait() == 0
        assert numbers(client, "full") == list(range(1000))
        assert status(client, "full") == "completed"
    finally:
        service.close()
    (disk,) = [notice for notice in script.notices if "lines can't be kept in" in notice]
    assert "they stay in memory" in disk
    assert len(script.notices) == 3


def test_entries_that_neither_service_nor_disk_takes_are_counted_as_lost(
    tmp_path: Path, scripts: Scripts
) -> None:
    (tmp_path / "file").write_text("no folder")
    script = scripts(
        SCRIPT.format(id="lost"), f"http://127.0.0.1:{free_port()}", spool=tmp_path / "file" / "spool"
    ).start()
    script.wait_for("went on")
    wait_until(lambda: script.notices, "a notice")
    script.send_line()
    assert script.wait() == 0
    assert "1,000 lines of run lost are lost" in script.notices[-1]


def test_a_full_spool_drops_entries_and_the_log_says_how_many(tmp_path: Path, scripts: Scripts) -> None:
    script = scripts(
        """
        import time
        from athanor.client.delivery.spool import Registration
        from athanor.client.limits import ClientLimits
        from athanor.client.run import Run
        from athanor.client.settings import ClientSettings

        settings = ClientSettings(mode="offline")
        registration = Registration(run_id="bound", instance="bound", producer="p", url=settings.url)
        limits = ClientLimits(spool_bytes=100_000, max_memory_bytes=100_000, disk_pause=0.0)
        with Run.begin(registration, settings, limits) as run:
            for number in range(10_000):
                run.log(str(number))
                if number % 100 == 0:
                    time.sleep(0.02)
        """,
        "",
    )
    assert script.run() == 0
    assert sum("are being dropped" in notice for notice in script.notices) == 1
    service = Service(tmp_path)
    try:
        client = service.start().client()
        synced = sync(script.folder, service.url)
        assert synced.returncode == 0, synced.stderr
        logged = messages(client, "bound")
    finally:
        service.close()
    expected = 0
    for message in logged:
        missing = re.match(r"athanor: ([\d,]+) lines are missing here", message)
        if missing is not None:
            expected += int(missing[1].replace(",", ""))
        else:
            assert message == str(expected)
            expected += 1
    assert expected == 10_000
    assert any("lines are missing here" in message for message in logged)


def test_a_closed_stderr_is_no_trouble(scripts: Scripts) -> None:
    script = scripts(
        """
        import os, sys
        os.close(2)
        import athanor

        with athanor.init("mute", finish_timeout=1) as run:
            run.log("not delivered")
            sys.stderr = None
        print("went on")
        """,
        f"http://127.0.0.1:{free_port()}",
    )
    assert script.run() == 0
    assert script.stdout == "went on\n"
    assert len(script.spools) == 1


SETTINGS = {
    "ATHANOR_URL": "localhost:8000",
    "ATHANOR_MODE": "ofline",
    "ATHANOR_FINISH_TIMEOUT": "soon",
    "ATHANOR_RUN_ID": "no such/id",
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_an_invalid_setting_is_named_at_once(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import athanor; athanor.init('x')"],
        cwd=tmp_path,
        env={**environment(), name: SETTINGS[name]},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("athanor.exceptions.ConfigurationError: ")
    assert name in last
    assert SETTINGS[name] in last
    assert not list(tmp_path.iterdir())


def test_a_producer_imports_neither_the_service_nor_the_command_line(tmp_path: Path) -> None:
    program = (
        "import sys, athanor\n"
        "with athanor.init('x', mode='offline') as run: run.log('x')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    loaded = set(done.stdout.split())
    assert {"athanor", "httpx", "msgspec"} <= loaded
    service = {"starlette", "sse_starlette", "uvicorn", "databases", "aiosqlite", "sqlalchemy", "uvloop"}
    assert not loaded & (service | {"sqlite3", "prometheus_client"})
