"""`athanor serve`, `demo` and `sync`, and the help of every command."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

import athanor
from athanor.cli import main

from ..support import plain
from ..support.commands import athanor_, started
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, free_port
from ..support.service import Service

COMMANDS = (
    "serve", "demo", "run", "pipe", "tail", "open", "runs", "cancel", "delete", "export", "sync",
)  # fmt: skip


def test_serve_prints_its_address_its_database_and_the_next_commands(tmp_path: Path) -> None:
    with started(tmp_path, "serve", "--port", "0", "-d", "my.db") as serve:
        url = serve.wait_for(r"is at (\S+)/")
        assert f"athanor {athanor.__version__}" in serve.output
        assert str(tmp_path / "my.db") in serve.output
        assert f"export ATHANOR_URL={url}" in serve.output
        assert "athanor tail latest" in serve.output
        assert plain.get(f"{url}/readyz").status_code == 200
        assert (tmp_path / "my.db").exists()
        serve.process.send_signal(signal.SIGINT)
        assert serve.process.wait(PATIENCE) == 0
    assert "Traceback" not in serve.output


def test_a_taken_port_is_an_error_for_serve_and_no_obstacle_for_demo(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        # if the port is taken already, that serves as well
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 8000)))
        refused = athanor_("serve", folder=tmp_path)
        assert refused.returncode == 1
        assert "port 8000 of 127.0.0.1 is taken; choose another with --port" in refused.stderr
        with started(tmp_path, "serve", "--port", "0") as serve:
            url = serve.wait_for(r"is at (\S+)/")
            assert plain.get(f"{url}/readyz").status_code == 200
        (tmp_path / "demo").mkdir()
        with started(tmp_path / "demo", "demo", "--epochs", "5") as demo:
            url = demo.wait_for(r"athanor is at (\S+)/")
            assert not url.endswith(":8000")
            demo.wait_for("(the run is completed)")
            demo.process.send_signal(signal.SIGINT)
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
        refused = athanor_("serve", "--port", str(taken), folder=tmp_path)
        assert refused.returncode == 1
        assert f"port {taken} of 127.0.0.1 is taken" in refused.stderr
        refused = athanor_("serve", folder=tmp_path, port=taken)
        assert refused.returncode == 1
        assert f"port {taken} of 127.0.0.1 is taken" in refused.stderr


BAD = {
    ("serve", "--host", "no.such.host.invalid"): "can't listen on no.such.host.invalid:8000",
    ("serve", "--port", "70000"): "70000",
    ("serve", "-d", "/no/such/folder/x.db"): "/no/such/folder/x.db",
    ("run",): "COMMAND",
    ("pipe",): "NAME",
    ("pipe", "x", "--url", "nonsense"): "nonsense",
    ("demo", "--url", "nonsense"): "nonsense",
    ("sync", "--url", "nonsense"): "nonsense",
    ("frobnicate",): "frobnicate",
}


@pytest.mark.parametrize("arguments", list(BAD))
def test_invalid_arguments_are_reported_without_a_traceback(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = athanor_(*arguments, folder=tmp_path)
    assert done.returncode in (1, 2, 3)
    assert BAD[arguments] in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*"))


def test_help_has_an_example_of_every_command(tmp_path: Path) -> None:
    overview = athanor_("--help", folder=tmp_path).stdout
    for command in COMMANDS:
        assert re.search(rf"^  {command} +\S", overview, re.MULTILINE), command
        page = CliRunner().invoke(main, [command, "-h"])
        assert page.exit_code == 0
        if command != "demo":
            assert f"  athanor {command}" in page.stdout or f"| athanor {command}" in page.stdout
    assert athanor_("--version", folder=tmp_path).stdout == f"athanor, version {athanor.__version__}\n"


def test_demo_starts_a_service_and_ctrl_c_ends_the_run_and_then_the_service(tmp_path: Path) -> None:
    port = free_port()
    with started(tmp_path, "demo", port=port) as demo:
        run = demo.wait_for(r"(?m)^run (\S+): http://127\.0\.0\.1")
        with plain.client(base_url=f"http://127.0.0.1:{port}") as client:

            def is_learning() -> bool:
                response = client.get(f"/runs/{run}")
                return response.status_code == 200 and response.json()["log_count"] > 5

            wait_until(is_learning, "its lines")
            (loss,) = client.get(f"/runs/{run}/results?key=loss&limit=1").json()["results"]
            assert 0 < loss["value"] < 2
        os.killpg(demo.process.pid, signal.SIGINT)
        assert demo.process.wait(PATIENCE) == 0
    assert "Traceback" not in demo.output
    with contextlib.closing(sqlite3.connect(tmp_path / "athanor.db")) as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("cancelled",)]
    assert not (tmp_path / ".athanor" / "spool").exists()


@pytest.mark.parametrize(
    "moment", [r"(athanor is at)", r"(?m)^(run )", "(the run is completed)", "(service stays)"]
)
def test_demo_leaves_no_service_behind_when_signals_come_at_once(tmp_path: Path, moment: str) -> None:
    port = free_port()
    with started(tmp_path, "demo", "--epochs", "5", port=port) as demo:
        demo.wait_for(moment)
        demo.process.send_signal(signal.SIGINT)
        demo.process.terminate()
        demo.process.send_signal(signal.SIGHUP)
        assert demo.process.wait(PATIENCE) == 0
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert "Traceback" not in demo.output


def test_demo_in_a_scripts_background_ends_by_sigterm(tmp_path: Path, service: Service) -> None:
    """A shell without job control makes what it starts with `&` ignore SIGINT."""
    # the child inherits this
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with started(tmp_path, "demo", "--url", service.url) as demo:
            signal.signal(signal.SIGINT, before)
            run = demo.wait_for(r"(?m)^run (\S+): http://127\.0\.0\.1")
            demo.process.terminate()
            demo.process.wait(PATIENCE)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "Traceback" not in demo.output
    assert service.client().get(f"/runs/{run}").json()["status"] == "cancelled"


def test_demo_reports_to_a_running_service(tmp_path: Path, service: Service) -> None:
    done = athanor_("demo", "--epochs", "40", folder=tmp_path, url=service.url)
    assert done.returncode == 0, done.stderr
    (run,) = service.client().get("/runs").json()["runs"]
    assert run["status"] == "completed"
    loss = service.client().get(f"/runs/{run['id']}/results?key=loss").json()["results"]
    assert [result["step"] for result in loss] == list(range(5, 41, 5))
    assert loss[-1]["value"] < loss[0]["value"]


def test_the_demos_gradient_equals_the_difference_quotient() -> None:
    import random

    from athanor.cli.spirals import Network, spirals

    rng = random.Random(3)
    points = spirals(0.0, rng)
    network = Network(rng)
    x, y, side = points[40]
    network.layers[0].rows[0][0] += (step := 1e-5)
    above = network.score([points[40]]).loss
    network.layers[0].rows[0][0] -= 2 * step
    below = network.score([points[40]]).loss
    network.layers[0].rows[0][0] += step
    slope = [1 / (1 + 2.718281828459045 ** -network.odds(x, y)) - side]
    for layer in reversed(network.layers):
        slope = layer.backward(slope)
    assert network.layers[0].slopes[0][0] == pytest.approx((above - below) / (2 * step), rel=1e-4)


def test_sync_reports_that_there_is_nothing_to_deliver(tmp_path: Path) -> None:
    done = athanor_("sync", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "nothing to deliver\n")


def test_sync_keeps_and_names_a_file_that_is_no_spool(tmp_path: Path, service: Service) -> None:
    spool = tmp_path / ".athanor" / "spool"
    spool.mkdir(parents=True)
    (spool / "garbage.ndjson").write_text("not a spool")
    done = athanor_("sync", str(tmp_path), folder=tmp_path, url=service.url)
    assert done.returncode == 1
    assert "garbage.ndjson" in done.stderr
    assert (spool / "garbage.ndjson").exists()


def test_sync_delivers_members_before_the_runs_end(
    tmp_path: Path, service: Service, scripts: Scripts
) -> None:
    script = scripts(
        """
        import os
        import athanor

        with athanor.init("team", id="team") as run:
            run.log("owner")
            for number in range(3):
                if not (pid := os.fork()):
                    run.log(f"member {number}")
                    break
                os.waitpid(pid, 0)
        """,
        service.url,
        mode="offline",
    )
    assert script.run() == 0
    assert len(script.spools) == 4
    done = athanor_("sync", str(script.folder), folder=tmp_path, url=service.url)
    assert done.returncode == 0, done.stderr
    assert "4 lines of 1 run" in done.stdout
    client = service.client()
    assert client.get("/runs/team").json()["status"] == "completed"
    logs = client.get("/runs/team/logs").json()["logs"]
    assert {log["message"] for log in logs} == {"owner", "member 0", "member 1", "member 2"}
    assert script.spools == []


def test_sync_keeps_the_lines_of_a_run_that_has_ended(
    tmp_path: Path, service: Service, scripts: Scripts
) -> None:
    script = scripts(
        "import athanor\nwith athanor.init('x', id='ended') as run:\n    run.log('late')\n",
        service.url,
        mode="offline",
    )
    assert script.run() == 0
    client = service.client()
    client.post("/instances", json={"id": "x", "name": "x"}).raise_for_status()
    client.post("/instances/x/runs", json={"id": "ended"}).raise_for_status()
    client.post("/runs/ended/start").raise_for_status()
    client.post("/runs/ended/complete").raise_for_status()
    done = athanor_("sync", folder=script.folder)
    assert done.returncode == 1
    assert "run ended is completed, and takes nothing after its end" in done.stderr
    assert len(script.spools) == 1
