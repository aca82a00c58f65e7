"""`athanor run` and `athanor pipe`: any program becomes a run and behaves as without them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import environment, free_port, messages
from ..support.service import Service
from ..support.terminals import Terminal

ATHANOR = [sys.executable, "-m", "athanor"]


def start(folder: Path, url: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """Start `athanor ARGUMENTS` in `folder`, with pipes for stdout and stderr by default."""
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [*ATHANOR, *arguments], cwd=folder, env=environment(url), **{**piped, **options}
    )


def run(folder: Path, url: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*ATHANOR, *arguments], cwd=folder, env=environment(url), **options)


def newest(client: httpx.Client) -> dict[str, Any]:
    """The newest run; waits until there is one."""
    wait_until(lambda: client.get("/runs?limit=1").json()["runs"], "a run")
    found: dict[str, Any] = client.get("/runs?limit=1").json()["runs"][0]
    return found


def python(text: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(text)]


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client()


def test_output_is_copied_unchanged_and_logged(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        r"""
        import sys
        sys.stdout.buffer.write(b"one\ntwo \xff\nno end")
        sys.stdout.flush()
        print("on stderr", file=sys.stderr)
        """
    )
    done = run(tmp_path, service.url, "run", "-n", "first", "--", *program, text=False)
    assert done.returncode == 0
    assert done.stdout == b"one\ntwo \xff\nno end"
    assert done.stderr == b"on stderr\n"
    newest_run = newest(client)
    assert newest_run["status"] == "completed"
    assert newest_run["metadata"]["name"] == "first"
    logs = client.get(f"/runs/{newest_run['id']}/logs").json()["logs"]
    assert logs[0]["message"].startswith(f"$ {sys.executable} -c ")
    by_stream = {None: ["one", "two �", "no end"], "stderr": ["on stderr"]}
    for stream, lines in by_stream.items():
        found = [log["message"] for log in logs[1:] if (log["metadata"] or {}).get("stream") == stream]
        assert found == lines


ENDS = {
    "sys.exit(0)": (0, "completed", None),
    "sys.exit(3)": (3, "failed", "exit code 3"),
    "1 / 0": (1, "failed", "ZeroDivisionError: division by zero"),
    "sys.exit('no data')": (1, "failed", "no data"),
    "os.kill(os.getpid(), 9)": (128 + 9, "failed", "killed by SIGKILL"),
    "os.kill(os.getpid(), 15)": (128 + 15, "failed", "killed by SIGTERM"),
}


@pytest.mark.parametrize("end", list(ENDS))
def test_run_exits_with_the_programs_code_which_decides_how_the_run_ends(
    end: str, tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    code, status, error = ENDS[end]
    done = run(tmp_path, service.url, "run", "--", *python(f"import os, sys\n{end}"))
    assert done.returncode == code
    found = newest(client)
    # of several lines, the last one is the exception
    assert (found["status"], (found["error"] or "").split("\n")[-1]) == (status, error or "")
    assert (found["metadata"].get("summary") or {}).get("exit_code", 0) == code


def test_a_missing_program_creates_no_run(tmp_path: Path, service: Service, client: httpx.Client) -> None:
    (tmp_path / "data.txt").write_text("no program")
    for name, code in (("no-such-program", 127), ("./data.txt", 126)):
        done = run(tmp_path, service.url, "run", "--", name)
        assert done.returncode == code
        assert name in done.stderr
        assert len(done.stderr.splitlines()) == 1
    (tmp_path / "broken").write_text("#!/no/such/interpreter\n")
    (tmp_path / "broken").chmod(0o755)
    assert client.get("/runs").json()["runs"] == []
    done = run(tmp_path, service.url, "run", "--", "./broken")
    assert done.returncode != 0
    assert "./broken can't be run" in done.stderr
    assert newest(client)["status"] == "failed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on_to_the_program(
    number: signal.Signals, tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import signal, sys, time
        received = []
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, lambda number, _: received.append(number))
        print("ready")
        while not received:
            time.sleep(0.01)
        time.sleep(0.2)
        print("received", *received)
        sys.exit(7)
        """
    )
    process = start(tmp_path, service.url, "run", "--", *program)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)
    assert out == f"received {int(number)}\n"
    assert process.returncode == 7
    assert newest(client)["error"] == "exit code 7"


def test_a_run_is_cancelled_when_a_forwarded_signal_kills_its_program(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    process = start(tmp_path, service.url, "run", "--", "sh", "-c", "echo ready; exec sleep 100")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    process.communicate()
    assert newest(client)["status"] == "cancelled"


def test_ignored_signals_stay_ignored(tmp_path: Path, service: Service, client: httpx.Client) -> None:
    program = ["sh", "-c", "echo ready; sleep 1; echo alive"]
    process = start(
        tmp_path,
        service.url,
        "run",
        "--",
        *program,
        # as nohup does
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (out, process.returncode) == ("alive\n", 0)
    assert newest(client)["status"] == "completed"


def test_cancelling_the_run_interrupts_the_program_and_its_children(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    (tmp_path / "train.py").write_text(
        "import time\n"
        "print('ready')\n"
        "try:\n"
        "    time.sleep(100)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    # a shell handles the signal only after its child has ended, so the child must receive it too
    process = start(tmp_path, service.url, "run", "--", "sh", "-c", f"{sys.executable} train.py; exit 5")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    # a run that is cancelled before its start takes no entries
    wait_until(lambda: newest(client)["status"] == "running", "its start")
    client.post(f"/runs/{newest(client)['id']}/cancel").raise_for_status()
    out, _ = process.communicate(timeout=PATIENCE)
    assert out == "interrupted\n"
    assert newest(client)["status"] == "cancelled"
    assert messages(client, newest(client)["id"])[-1] == "interrupted"


def test_a_bar_becomes_progress_and_one_line(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import sys, time
        for step in range(101):
            print(f"\\rstep {step}/100", end="", flush=True)
            time.sleep(0.005)
        print()
        sys.stdin.readline()
        """
    )
    process = start(tmp_path, service.url, "run", "--", *program, stdin=subprocess.PIPE, text=False)
    id = newest(client)["id"]

    def finished() -> bool:
        progress = client.get(f"/runs/{id}").json()["progress"]
        return bool(progress) and progress["current"] == progress["total"] == 100

    wait_until(finished, "the bar's end")
    out, _ = process.communicate(b"\n", timeout=PATIENCE)
    assert out.count(b"\r") == 101
    assert messages(client, id)[1:] == ["step 100/100"]


def test_a_program_that_calls_init_reports_to_the_same_run(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import athanor
        print("printed")
        with athanor.init("digits", name="inner", config={"lr": 0.1}) as run:
            run.log({"loss": 0.5}, step=1)
            run.log("reported")
        """
    )
    assert run(tmp_path, service.url, "run", "-i", "outer", "--", *program).returncode == 0
    (found,) = client.get("/runs").json()["runs"]
    assert (found["instance_id"], found["status"], found["result_count"]) == ("outer", "completed", 1)
    logs = client.get(f"/runs/{found['id']}/logs").json()["logs"]
    assert {"printed", "reported"} <= {log["message"] for log in logs}
    (joined,) = [log for log in logs if log["message"] == "joined"]
    assert joined["metadata"]["name"] == "inner"
    assert joined["metadata"]["config"] == {"lr": 0.1}


def test_the_program_runs_without_a_service_and_sync_delivers_its_run(
    tmp_path: Path, service: Service
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run(tmp_path, url, "run", "--", *python("print('done'); raise SystemExit(4)"))
    assert (done.returncode, done.stdout) == (4, "done\n")
    assert "athanor sync" in done.stderr
    synced = run(tmp_path, "", "sync", "--url", service.url)
    assert synced.returncode == 0, synced.stderr
    assert newest(service.client())["error"] == "exit code 4"


def test_on_a_terminal_the_program_gets_a_terminal_of_the_same_size(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import os, sys
        print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size())
        print("in order", file=sys.stderr)
        print("\x1b[31mred\x1b[0m")
        """
    )
    command = [*ATHANOR, "run", "--", *program]
    with Terminal(command, tmp_path, environment(service.url), 41, 133) as terminal:
        assert terminal.wait() == 0
        shown = terminal.shown
    size = "True True os.terminal_size(columns=133, lines=41)"
    assert shown.splitlines() == [size, "in order", "\x1b[31mred\x1b[0m"]
    assert messages(client, newest(client)["id"])[1:] == [size, "in order", "\x1b[31mred\x1b[0m"]


def test_ctrl_c_in_a_terminal_reaches_the_program_once(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    program = python(
        """
        import signal, sys, time
        received = []
        signal.signal(signal.SIGINT, lambda number, _: received.append(number))
        print("ready")
        while not received:
            time.sleep(0.01)
        time.sleep(0.3)
        print("received", len(received))
        """
    )
    command = [*ATHANOR, "run", "--", *program]
    with Terminal(command, tmp_path, environment(service.url)) as terminal:
        terminal.wait_for("ready")
        terminal.type("\x03")
        assert terminal.wait() == 0
        assert "received 1" in terminal.shown
    assert newest(client)["status"] == "completed"


def test_pipe_records_a_run_and_copies_its_input(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    lines = [str(number) for number in range(20_000)]
    text = "\n".join(lines)
    done = run(tmp_path, service.url, "pipe", "build", "--name", "nightly", input=text)
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "")
    found = newest(client)
    assert (found["instance_id"], found["status"]) == ("build", "completed")
    assert found["metadata"]["name"] == "nightly"
    assert messages(client, found["id"]) == lines
    quiet = run(tmp_path, service.url, "pipe", "build", "--quiet", input="a\nb\n")
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert messages(client, newest(client)["id"]) == ["a", "b"]


def test_pipe_goes_on_when_its_reader_leaves(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    command = f"seq 100000 | {' '.join(ATHANOR)} pipe count | head -1"
    done = subprocess.run(
        command,
        shell=True,
        cwd=tmp_path,
        env=environment(service.url),
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.stdout == b"1\n"
    wait_until(lambda: newest(client)["status"] == "completed", "the run's end")
    assert newest(client)["log_count"] == 100_000


def test_ctrl_c_on_a_pipe_reads_to_the_end_of_the_input_and_cancels(
    tmp_path: Path, service: Service, client: httpx.Client
) -> None:
    process = start(tmp_path, service.url, "pipe", "build", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    wait_until(lambda: newest(client)["log_count"] == 1, "its line")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate("last line\n", timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "one\nlast line\n", "")
    assert newest(client)["status"] == "cancelled"
    assert messages(client, newest(client)["id"]) == ["one", "last line"]


def test_cancelling_closes_the_pipe(tmp_path: Path, service: Service, client: httpx.Client) -> None:
    process = start(tmp_path, service.url, "pipe", "build", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write("one\n")
    process.stdin.flush()
    wait_until(lambda: newest(client)["log_count"] == 1, "its line")
    client.post(f"/runs/{newest(client)['id']}/cancel").raise_for_status()
    assert process.wait(PATIENCE) == 3
    with contextlib.suppress(BrokenPipeError):
        process.communicate("not read\n")
    assert newest(client)["status"] == "cancelled"


NAMES = {
    "python train.py --lr 3": "train.py",
    "python -u -W error ./deep/train.py": "train.py",
    "python3 -m package.train": "package.train",
    "python -c pass": "python",
    "./train.sh": "train.sh",
    "make all": "make",
    "bash run.sh": "run.sh",
}


@pytest.mark.parametrize("command", list(NAMES))
def test_an_instance_is_named_after_its_program(command: str) -> None:
    from athanor.cli.program import name_of

    assert name_of(tuple(command.split())) == NAMES[command]
