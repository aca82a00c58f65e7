"""`athanor run`: what it reports of its program, which may call `init` itself, and may fail."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import environment, free_port, messages
from ..support.service import Service
from ..support.stopwatch import Stopwatch
from ..support.terminals import Terminal
from .test_run import ATHANOR, newest, python, run, start


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client()


def logs(client: httpx.Client, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/runs/{newest(client)['id']}/logs{query}").json()["logs"]
    return found


@pytest.mark.parametrize("command", ["run", "pipe"])
@pytest.mark.parametrize(
    "odd", [r"\x1b[%s" % ("1" * 5000), r"\x1b[%sA" % ("9" * 5000), r"\x1b]0;", r"\x1bP"]
)
def test_no_output_blocks_the_program(
    odd: str, command: str, tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    """A megabyte does not fit into a pipe: it ends only if all of it is read."""
    program = f"import sys; sys.stdout.write('{odd}'); sys.stdout.write('\\n' + 'x' * 99 + '\\n'); " + (
        "sys.stdout.write(('y' * 99 + '\\n') * 10_000)"
    )
    if command == "run":
        done = run(tmp_path, service.url, "run", "--", sys.executable, "-c", program)
    else:
        shell = f'{sys.executable} -c "$PROGRAM" | {" ".join(ATHANOR)} pipe odd'
        done = subprocess.run(
            ["sh", "-c", shell],
            cwd=tmp_path,
            env=environment(service.url) | {"PROGRAM": program},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("y\n")
    last = client.get(f"/runs/{newest(client)['id']}/logs?before=9999999&limit=1").json()["logs"]
    assert "P" in odd or set(last[0]["message"]) == {"y"}


def test_the_end_of_stderr_is_the_error_and_a_traceback_is_of_level_error(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import sys
        print("starting")
        print("a warning", file=sys.stderr)
        def deep():
            raise ValueError("no data in train.csv")
        deep()
        """
    )
    assert run(tmp_path, service.url, "run", "--", *program).returncode == 1
    found = newest(client)
    assert found["status"] == "failed"
    error = found["error"].splitlines()
    assert error[0] == "Traceback (most recent call last):"
    assert error[-1] == "ValueError: no data in train.csv"
    assert found["metadata"]["summary"] == {"exit_code": 1}
    levels = {log["message"]: log["level"] for log in logs(client)}
    assert levels["starting"] == levels["a warning"] == "info"
    assert {levels[line] for line in error} == {"error"}
    marked = [log["message"] for log in logs(client, "?stream=stderr")]
    assert marked == ["a warning", *error]
    assert [log["message"] for log in logs(client, "?level=error")] == error


def test_a_failure_without_a_traceback_is_explained_by_the_last_lines(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    done = run(tmp_path, service.url, "run", "--", "sh", "-c", "seq 30 >&2; echo out; exit 7")
    assert done.returncode == 7
    assert newest(client)["error"].splitlines() == [str(number) for number in range(21, 31)]
    run(tmp_path, service.url, "run", "--", "sh", "-c", "echo out of memory >&2; kill -9 $$")
    assert newest(client)["error"].splitlines() == ["out of memory", "killed by SIGKILL"]
    run(tmp_path, service.url, "run", "--", "sh", "-c", "echo fine; exit 3")
    assert newest(client)["error"] == "exit code 3"


def test_in_a_terminal_the_traceback_is_the_error_too(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python("import sys; print('before', file=sys.stderr); print('out'); 1 / 0")
    with Terminal([*ATHANOR, "run", "--", *program], tmp_path, environment(service.url)) as terminal:
        assert terminal.wait() == 1
    assert newest(client)["error"].splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert [log["level"] for log in logs(client)][:3] == ["info", "info", "info"]
    assert logs(client)[-1]["level"] == "error"


def test_the_command_its_folder_and_git_are_recorded_without_secrets(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        (tmp_path / "file").write_text("1")
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout.strip()
    arguments = [
        "true", "--lr", "3e-4", "--api-key", "hunter2a", "--hf_token=hunter2b", "--Secret", "hunter2c",
        "DB_PASSWORD=hunter2d", "-H", "Authorization: Bearer hunter2e", "postgres://me:hunter2f@host/db",
        "--tokenizer", "bpe",
    ]  # fmt: skip
    assert (
        run(
            tmp_path, service.url, "run", "--config", "wandb_api_key=hunter2g", "--", *arguments
        ).returncode
        == 0
    )
    found = newest(client)
    assert found["metadata"]["command"] == [
        "true", "--lr", "3e-4", "--api-key", "***", "--hf_token=***", "--Secret", "***",
        "DB_PASSWORD=***", "-H", "Authorization: Bearer ***", "postgres://host/db",
        "--tokenizer", "bpe",
    ]  # fmt: skip
    assert found["metadata"]["cwd"] == str(tmp_path)
    assert found["metadata"]["git"] == {"commit": commit, "dirty": False}
    assert "hunter2" not in client.get(f"/runs/{found['id']}/logs").text + str(found)
    (tmp_path / "file").write_text("2")
    run(tmp_path, service.url, "run", "--", "true")
    assert newest(client)["metadata"]["git"] == {"commit": commit, "dirty": True}


TRAIN = """
import athanor, sys, time
print("importing")
time.sleep(0.5)
with athanor.init("rings", name="baseline", config={"lr": 0.1, "deep": {"a": 1}}, tags=["x"]) as run:
    run.log({"loss": 0.5}, 1)
    print("training")
"""


def test_a_program_that_calls_init_is_one_run_with_its_instance_name_and_configuration(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    done = run(tmp_path, service.url, "run", "--config", "deep.b=2", "--", sys.executable, "train.py")
    assert (done.returncode, done.stdout, done.stderr) == (0, "importing\ntraining\n", "")
    (found,) = client.get("/runs").json()["runs"]
    assert (found["instance_id"], found["status"], found["result_count"]) == ("rings", "completed", 1)
    metadata = found["metadata"]
    assert metadata["name"] == "baseline"
    assert metadata["config"] == {"lr": 0.1, "deep": {"a": 1, "b": 2}}
    assert metadata["tags"] == ["x"]
    assert metadata["script"] == "train.py"
    assert metadata["command"] == [sys.executable, "train.py"]
    assert {"importing", "training"} <= set(messages(client, found["id"]))
    assert [instance["id"] for instance in client.get("/instances").json()["instances"]] == ["rings"]


def test_what_the_command_line_fixes_stays(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    # the script is called by another one
    (tmp_path / "train.sh").write_text(f"exec {sys.executable} train.py\n")
    for options, instance, name in (
        (["-i", "chosen"], "chosen", "baseline"),
        (["-n", "given"], "rings", "given"),
        ([], "rings", "baseline"),
    ):
        assert run(tmp_path, service.url, "run", *options, "--", "sh", "train.sh").returncode == 0
        found = newest(client)
        assert (found["instance_id"], found["metadata"]["name"]) == (instance, name)
        assert found["metadata"]["config"]["lr"] == 0.1


def test_offline_it_is_one_run_too(tmp_path: Path, service: Service, client: httpx.Client) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    away = f"http://127.0.0.1:{free_port()}"
    assert run(tmp_path, away, "run", "--", sys.executable, "train.py").returncode == 0
    assert run(tmp_path, "", "sync", "--url", service.url).returncode == 0
    (found,) = client.get("/runs").json()["runs"]
    assert (found["instance_id"], found["status"]) == ("rings", "completed")
    assert (found["metadata"]["name"], found["metadata"]["config"]["lr"]) == ("baseline", 0.1)
    assert found["metadata"]["command"] == [sys.executable, "train.py"]


def test_a_program_without_init_is_named_after_itself_and_given_a_name(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    process = start(tmp_path, service.url, "run", "-c", "lr=1e-3", "-c", "opt=adam", "--", "sleep", "60")
    watch = Stopwatch(process.pid)
    found = newest(client)
    # a program that does not mention Athanor is not waited for
    assert watch.elapsed() < 20
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert found["instance_id"] == "sleep"
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", found["metadata"]["name"])
    assert found["metadata"]["config"] == {"lr": 0.001, "opt": "adam"}
    refused = run(tmp_path, service.url, "run", "--config", "lr", "--", "true")
    assert refused.returncode == 2
    assert "'lr' is no KEY=VALUE, as in lr=1e-3" in refused.stderr


def test_lines_between_bars_are_stored_while_the_bars_go_on(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    (tmp_path / "bars.py").write_text(
        "import logging, sys, time\n"
        "from tqdm import tqdm\n"
        "for epoch in tqdm(range(3), desc='epochs', position=0):\n"
        "    for step in tqdm(range(5), desc='steps', position=1, leave=False, mininterval=0):\n"
        "        tqdm.write(f'line {epoch} {step}')\n"
        "        time.sleep(0.02)\n"
        "    if epoch == 1:\n"
        "        logging.warning('a record')\n"
        "        sys.stdin.readline()\n"
    )
    command = [*ATHANOR, "run", "--", sys.executable, "bars.py"]
    with Terminal(command, tmp_path, environment(service.url)) as terminal:
        terminal.wait_for("a record")
        id = newest(client)["id"]
        deadline = time.monotonic() + 30
        while "line 1 4" not in (stored := messages(client, id)) or "WARNING:root:a record" not in stored:
            assert time.monotonic() < deadline, stored
            time.sleep(0.05)
        progress = client.get(f"/runs/{id}").json()["progress"]
        assert (progress["message"], progress["total"]) == ("epochs", 3)
        terminal.type("\n")
        assert terminal.wait() == 0
    lines = messages(client, id)[1:]
    assert [line for line in lines if line.startswith("line")] == [
        f"line {epoch} {step}" for epoch in range(3) for step in range(5)
    ]
    assert sum(line.startswith(("epochs", "steps")) for line in lines) <= 3


def test_system_metrics_include_the_program(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python("import sys; data = bytearray(200_000_000); print('ready'); sys.stdin.readline()")
    process = start(
        tmp_path, service.url, "run", "--system-metrics", "--", *program, stdin=subprocess.PIPE
    )
    id = newest(client)["id"]

    def memory() -> float:
        found = client.get(f"/runs/{id}/results?key=system/process_memory").json()["results"]
        return float(found[-1]["value"]) if found else 0.0

    wait_until(lambda: memory() > 200_000_000, "a sample with the program's memory")
    process.communicate("\n", timeout=PATIENCE)
    assert process.returncode == 0
