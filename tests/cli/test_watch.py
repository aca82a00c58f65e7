"""`athanor tail`, `runs`, `cancel` and `export`: the commands that show runs."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.scripts import Scripts, environment, free_port
from ..support.service import ROOT, Service, new_run, running
from ..support.terminals import Terminal

ATHANOR = [sys.executable, "-m", "athanor"]


@pytest.fixture
def client(service: Service) -> httpx.Client:
    return service.client()


def athanor_(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ATHANOR, *arguments], env=environment(url), capture_output=True, text=True, timeout=PATIENCE
    )


def log(client: httpx.Client, run: str, *messages: str, **fields: Any) -> None:
    body = [{"message": message, **fields} for message in messages]
    client.post(f"/runs/{run}/logs", json=body).raise_for_status()


def without_dates(shown: str) -> str:
    """Without the lines that give the date where the day changes."""
    return "".join(line for line in shown.splitlines(keepends=True) if not line.startswith("── "))


def texts(shown: str) -> list[str]:
    """The messages in lines of `tail`, without time and level."""
    return [line[19:] for line in shown.splitlines()]


ENDS = {"complete": (0, "completed"), "fail": (1, "failed"), "cancelled": (3, "cancelled")}


@pytest.mark.parametrize("end", list(ENDS))
def test_tail_prints_old_and_new_lines_and_how_the_run_ended(
    end: str, service: Service, client: httpx.Client
) -> None:
    code, status = ENDS[end]
    run = new_run(client)
    log(client, run, "before", "two\nlines")
    process = subprocess.Popen(
        [*ATHANOR, "tail", "latest"], env=environment(service.url), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    shown = ""
    while "two" not in shown:
        shown += process.stdout.readline()
    log(client, run, "after", level="warn", metadata={"lr": 0.1, "user": "me"})
    client.post(f"/runs/{run}/results", json={"key": "loss", "value": 0.25, "step": 3}).raise_for_status()
    error = {"error": "Traceback\nboom"} if end == "fail" else None
    client.post(f"/runs/{run}/{end}", json=error).raise_for_status()
    rest = process.stdout.read()
    process.stdout.close()
    assert process.wait(PATIENCE) == code
    lines = texts(shown + rest)
    assert lines[1:6] == ["before", "two", "lines", "after  lr=0.1 user=me", "step 3  loss=0.25"]
    assert lines[6].startswith(f"run {run} is {status} after ")
    assert (shown + rest).splitlines()[7:] == (["  Traceback", "  boom"] if end == "fail" else [])
    again = athanor_(service.url, "tail", run)
    assert (again.returncode, again.stdout) == (code, shown + rest)


def test_tail_prints_every_line_once_while_the_service_is_killed_and_restarted(
    service: Service, client: httpx.Client
) -> None:
    run = new_run(client)
    log(client, run, *map(str, range(1000)))
    process = subprocess.Popen(
        [*ATHANOR, "tail", run],
        env=environment(service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
    reader.start()
    for part in range(1, 4):
        wait_until(lambda: len(lines) > part * 1000, "the lines so far")  # noqa: B023
        service.kill()
        service.start()
        client = service.client()
        log(client, run, *map(str, range(part * 1000, part * 1000 + 1000)))
    client.post(f"/runs/{run}/complete").raise_for_status()
    assert process.wait(PATIENCE) == 0
    reader.join(PATIENCE)
    assert texts("".join(lines))[1:-1] == [str(number) for number in range(4000)]
    process.communicate()


def test_tail_waits_for_a_service_that_is_away_and_reports_it_once(
    service: Service, client: httpx.Client
) -> None:
    run = new_run(client)
    log(client, run, "first")
    process = subprocess.Popen(
        [*ATHANOR, "tail", run],
        env=environment(service.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    while "first" not in process.stdout.readline():
        pass
    service.kill()
    assert "is away" in process.stderr.readline()
    client = service.start().client()
    log(client, run, "second")
    client.post(f"/runs/{run}/complete").raise_for_status()
    out, err = process.stdout.read(), process.stderr.read()
    process.communicate()
    assert texts(out)[0] == "second"
    assert err == ""
    assert process.returncode == 0


def test_tail_filters_by_level_and_time(service: Service, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, "old", timestamp="2020-01-01T00:00:00Z", level="error")
    for level in ("debug", "info", "warn", "error"):
        log(client, run, level, level=level)
    client.post(f"/runs/{run}/complete").raise_for_status()
    warned = athanor_(service.url, "tail", run, "--level", "warn").stdout
    dates = [line for line in warned.splitlines() if line.startswith("── ")]
    assert len(dates) == 2
    assert dates[0] <= "── 2020-01-01 ──"
    assert texts(without_dates(warned))[1:-1] == ["old", "warn", "error"]
    for since in ("10m", "2020-01-02", "2020-01-01T00:00:01+00:00"):
        recent = athanor_(service.url, "tail", run, "--since", since).stdout
        assert texts(recent)[1:-1] == ["debug", "info", "warn", "error"]
    as_json = athanor_(service.url, "tail", run, "--level", "error", "--since", "1h", "--json").stdout
    events = [json.loads(line) for line in as_json.splitlines()]
    assert [event["type"] for event in events] == [
        "run_created",
        "run_started",
        "run_logs",
        "run_completed",
    ]
    assert [entry["message"] for entry in events[2]["logs"]] == ["error"]
    assert all(re.fullmatch(r"\w+-\d+", event["id"]) for event in events)
    assert athanor_(service.url, "tail", run, "--since", "yesterday").returncode == 2


def test_tail_sanitizes_hostile_text(service: Service, client: httpx.Client) -> None:
    run = new_run(client)
    hostile = (
        "\x1b[2J\x1b[H gone", "\x1b]0;title\x07titled", "back\x08\x08space", "over\rwritten",
        "\u202eright to left", "nul\x00", "\x9b31mC1", "\x1b[31mred", "\x1b[8mhidden", "\x1bc reset",
    )  # fmt: skip
    log(client, run, *hostile, metadata={"\x1b[2J": "\x1b[2J"})
    client.post(
        f"/runs/{run}/results", json={"key": "\x1b[2Jk\n", "value": "\x1b[2J\n"}
    ).raise_for_status()
    client.post(f"/runs/{run}/fail", json={"error": "\x1b[2Jerror"}).raise_for_status()
    plain = athanor_(service.url, "tail", run).stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", plain)
    assert "gone" in plain
    with Terminal([*ATHANOR, "tail", run], ROOT, environment(service.url)) as terminal:
        assert terminal.wait() == 1
        shown = terminal.shown
    allowed = re.sub(r"\x1b\[(?:K|(?:0|2|3[0-7]|9[0-7])(?:;\d\d?)*m)|\r\n|\r", "", shown)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", allowed)
    assert "\x1b[31mred\x1b[0m" in shown


def test_tail_in_a_terminal_has_colours_and_a_bar_below_the_lines(
    service: Service, client: httpx.Client
) -> None:
    run = new_run(client)
    log(client, run, "careful", level="warn")
    with Terminal([*ATHANOR, "tail", "latest"], ROOT, environment(service.url)) as terminal:
        terminal.wait_for("\x1b[33mcareful")
        client.post(f"/runs/{run}/progress", json={"current": 1, "total": 4, "message": "train"})
        terminal.wait_for("25% 1/4")
        log(client, run, "later")
        terminal.wait_for("later")
        terminal.resize(24, 30)
        client.post(f"/runs/{run}/progress", json={"current": 2, "total": 4, "message": "m" * 100})
        drawn = re.compile(r"\r\x1b\[K\x1b\[2m(.*?)\x1b\[0m")
        wait_until(lambda: "50% 2/4" in drawn.findall(terminal.shown)[-1], "the whole bar")
        bars = drawn.findall(terminal.shown)
        assert all("\n" not in bar for bar in bars)
        assert len(bars[-1]) < 30
        client.post(f"/runs/{run}/complete").raise_for_status()
        assert terminal.wait() == 0
        screen = terminal.shown
    # the bar was cleared before the line was written, so the line is above the bar
    assert re.search(r"\r\x1b\[K[^\n]*later\r\n", screen)
    assert "is completed" in screen.rstrip().splitlines()[-1]


def test_tail_follows_the_digits_example_in_a_terminal(service: Service, client: httpx.Client) -> None:
    pytest.importorskip("sklearn", reason="there is no scikit-learn on this machine")
    digits = [sys.executable, str(ROOT / "examples" / "digits.py"), "--epochs", "8", "--hidden", "32"]
    with Terminal(digits, ROOT, environment(service.url)) as example:
        wait_until(lambda: client.get("/runs").json()["runs"], "the run")
        with Terminal([*ATHANOR, "tail", "latest"], ROOT, environment(service.url)) as terminal:
            terminal.wait_for("epoch 1: test loss")
            terminal.wait_for("learning")
            assert terminal.wait(PATIENCE) == 0
            shown = terminal.shown
        assert example.wait() == 0
    for epoch in range(1, 9):
        assert shown.count(f"epoch {epoch}: test loss") == 1
    assert "accuracy=" in shown


def test_ctrl_c_ends_tail_with_130(service: Service, client: httpx.Client) -> None:
    new_run(client)
    with Terminal([*ATHANOR, "tail", "latest"], ROOT, environment(service.url)) as terminal:
        terminal.wait_for("elapsed")
        terminal.type("\x03")
        assert terminal.wait() == 130
        assert "Traceback" not in terminal.shown


def test_a_reader_that_closes_the_pipe_causes_no_error(service: Service, client: httpx.Client) -> None:
    run = new_run(client)
    for _ in range(3):
        log(client, run, *map(str, range(10_000)))
    client.post(f"/runs/{run}/complete").raise_for_status()
    for command in (f"tail {run}", f"export {run} --format csv", "runs"):
        done = subprocess.run(
            f"{' '.join(ATHANOR)} {command} | head -1",
            shell=True,
            env=environment(service.url),
            capture_output=True,
            timeout=PATIENCE,
        )
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == b""


def test_a_run_is_named_by_its_id_a_prefix_of_it_or_latest(
    service: Service, client: httpx.Client
) -> None:
    client.post("/instances", json={"id": "i", "name": "i"}).raise_for_status()
    for id in ("abc1", "abc2", "abd"):
        client.post("/instances/i/runs", json={"id": id}).raise_for_status()
    for text in ("ab", "abc"):
        done = athanor_(service.url, "cancel", text)
        assert done.returncode == 2
        assert "may be any of" in done.stderr
        assert "abc1" in done.stderr
    for text, state in (("abc1", "abc1 is"), ("abd", "abd is"), ("latest", "abd is already")):
        assert athanor_(service.url, "cancel", text).stdout == f"run {state} cancelled\n"
    for text in ("nope", "no such\nrun", "../../etc"):
        done = athanor_(service.url, "tail", text)
        assert done.returncode == 2
        assert "there is no run" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_an_error_is_one_line_and_exit_code_2(service: Service) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    for arguments in (["tail", "latest"], ["runs"], ["cancel", "x"], ["export", "x"]):
        done = athanor_(away, *arguments)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert f"no service answers at {away}" in done.stderr
        assert "athanor serve" in done.stderr
    done = athanor_(service.url, "tail", "latest")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no run yet" in done.stderr
    assert athanor_("", "runs", "--url", "nonsense").returncode == 2


def test_runs_prints_a_table_or_json(service: Service, client: httpx.Client) -> None:
    client.post("/instances", json={"id": "digits", "name": "Hand-written digits"}).raise_for_status()
    for number in range(30):
        body = {"id": f"run-{number:02}", "metadata": {"name": f"try {number} \x1b[2J"}}
        client.post("/instances/digits/runs", json=body).raise_for_status()
    client.post("/runs/run-29/start").raise_for_status()
    log(client, "run-29", "one", "two")
    steps = [
        {"key": key, "value": value} for key, value in (("loss", 0.5), ("acc", "NaN"), ("loss", 0.25))
    ]
    client.post("/runs/run-29/results", json=[*steps, {"key": "table", "value": [1]}]).raise_for_status()
    shown = athanor_(service.url, "runs").stdout
    head, first, *rest = shown.splitlines()
    assert head.split() == ["run", "of", "name", "status", "began", "took", "lines", "metrics"]
    clock = r"\d\d:\d\d:\d\d"
    assert re.fullmatch(
        rf"run-29 +Hand-written digits +try 29 +running +{clock} +\d.\d s +2  loss=0.25 acc=NaN", first
    )
    assert len(rest) == 19
    assert "\x1b" not in shown
    named = athanor_(service.url, "runs", "-i", "Hand-written digits", "-n", "100", "--json").stdout
    assert [json.loads(line)["id"] for line in named.splitlines()] == [
        f"run-{number:02}" for number in reversed(range(30))
    ]
    running = athanor_(service.url, "runs", "--status", "running", "-i", "digits", "--json").stdout
    assert [json.loads(line)["id"] for line in running.splitlines()] == ["run-29"]
    assert athanor_(service.url, "runs", "-i", "nope").returncode == 2


def test_cancel_ends_a_tracked_loop_and_waits_for_its_last_lines(
    service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import time
        import athanor

        with athanor.init("long", id="long") as run:
            try:
                for number in run.track(range(100_000), "train"):
                    run.log(str(number))
                    time.sleep(0.01)
            finally:
                run.log("last line")
        """,
        service.url,
    ).start()
    wait_until(
        lambda: (
            client.get("/runs/long").status_code == 200
            and client.get("/runs/long").json()["log_count"] > 3
        ),
        "its lines",
    )
    done = athanor_(service.url, "cancel", "long", "--wait")
    assert (done.returncode, done.stdout) == (0, "run long is cancelled\n")
    assert script.wait() == 130
    assert "Traceback" not in script.stderr
    logs = client.get("/runs/long/logs?limit=10000").json()["logs"]
    assert [entry["message"] for entry in logs] == [*map(str, range(len(logs) - 1)), "last line"]
    again = athanor_(service.url, "cancel", "long")
    assert (again.returncode, again.stdout) == (0, "run long is already cancelled\n")


def test_cancel_reports_a_run_that_fails_instead(service: Service, client: httpx.Client) -> None:
    run = new_run(client)
    process = subprocess.Popen(
        [*ATHANOR, "cancel", run, "--wait"],
        env=environment(service.url),
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: client.get(f"/runs/{run}").json()["cancel_requested_at"], "the request")
    client.post(f"/runs/{run}/fail", json={"error": "boom"}).raise_for_status()
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, f"run {run} is failed: boom\n")
    assert athanor_(service.url, "cancel", run).returncode == 1


def test_exports_are_complete_and_equal_in_every_format(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    run = new_run(client)
    for part in range(11):
        log(client, run, *(f'{part} "{number}",\r\nnext é\u2028' for number in range(1000)))
    body = [{"key": "loss", "value": {"a": [number]}, "step": number} for number in range(1500)]
    client.post(f"/runs/{run}/results", json=body).raise_for_status()
    going_on = athanor_(service.url, "export", run)
    assert f"run {run} is running" in going_on.stderr
    client.post(f"/runs/{run}/complete").raise_for_status()
    # more than one page of 10,000
    for what, count in (("logs", 11_000), ("results", 1500)):
        found = {}
        for form in ("csv", "ndjson", "json"):
            path = tmp_path / f"{what}.{form}"
            options = ("--format", form, "--what", what, "--exact")
            done = athanor_(service.url, "export", run, *options, "-o", str(path))
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            found[form] = path.read_bytes()
            to_stdout = subprocess.run(
                [*ATHANOR, "export", run, *options],
                env=environment(service.url),
                stdout=subprocess.PIPE,
                check=True,
            )
            assert to_stdout.stdout == found[form]
        entries = [json.loads(line) for line in found["ndjson"].split(b"\n") if line]
        assert [entry["seq"] for entry in entries] == list(range(1, count + 1))
        whole = json.loads(found["json"])
        assert whole[what] == entries
        assert whole["run"]["id"] == run
        rows = list(csv.DictReader(io.StringIO(found["csv"].decode(), newline="")))
        assert [int(row["seq"]) for row in rows] == list(range(1, count + 1))
        shown = "message" if what == "logs" else "key"
        assert [row[shown] for row in rows] == [entry[shown] for entry in entries]
    assert going_on.stdout.encode() == (tmp_path / "logs.ndjson").read_bytes()


def test_an_interrupted_export_leaves_no_file(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    run = new_run(client)
    # 60 MB: many pages
    for _ in range(10):
        log(client, run, *(["x" * 200_000] * 30))
    path = tmp_path / "out" / "log.ndjson"
    path.parent.mkdir()
    path.write_text("as it was")
    process = subprocess.Popen(
        [*ATHANOR, "export", run, "-o", str(path)],
        env=environment(service.url),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: any(p.stat().st_size > 0 for p in path.parent.glob(".log*")), "a first page")
    service.kill()
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    assert err.splitlines()[-1].startswith(f"athanor: the service at {service.url} broke off") or (
        "no service answers" in err
    )
    assert [p.name for p in path.parent.iterdir()] == ["log.ndjson"]
    assert path.read_text() == "as it was"
    service.start()
    refused = athanor_(service.url, "export", run, "-o", str(tmp_path / "no" / "such" / "file"))
    assert refused.returncode == 2
    assert "can't be written" in refused.stderr


def test_tail_begins_with_the_last_lines(service: Service, client: httpx.Client) -> None:
    run = new_run(client)
    log(client, run, *map(str, range(50)))
    log(client, run, "warned", level="warn")
    steps = [{"key": "loss", "value": number / 10, "step": number} for number in range(3)]
    client.post(f"/runs/{run}/results", json=[*steps, {"key": "acc", "value": "NaN", "step": 2}])
    log(client, run, *map(str, range(50, 100)))
    # a line is a log entry, or the numbers of a step
    expected = [*map(str, range(98, 100))]
    following = subprocess.Popen(
        [*ATHANOR, "tail", "-n", "2"], env=environment(service.url), stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert [following.stdout.readline()[19:-1] for _ in expected] == expected
    log(client, run, "new")
    assert following.stdout.readline()[19:-1] == "new"
    client.post(f"/runs/{run}/complete").raise_for_status()
    assert following.wait(PATIENCE) == 0
    following.communicate()
    ended = f"run {run} is completed"
    for arguments, shown in (
        (["-n", "1"], ["new"]),
        (["-n", "0"], []),
        (["-n", "2", "--no-results", run], ["99", "new"]),
        (["-n", "3", "--level", "warn"], ["warned"]),
        (["--no-results"], [*map(str, range(50)), "warned", *map(str, range(50, 100)), "new"]),
    ):
        done = athanor_(service.url, "tail", *arguments)
        found = texts(done.stdout)
        assert found[-1].startswith(ended), arguments
        assert [line for line in found[:-1] if "has started" not in line] == shown
        assert done.returncode == 0
    whole = texts(athanor_(service.url, "tail").stdout)
    assert [line for line in whole if line.startswith("step")] == [
        "step 0  loss=0", "step 1  loss=0.1", "step 2  loss=0.2 acc=NaN",
    ]  # fmt: skip


def test_stale_runs_are_listed_with_the_name_of_their_instance(tmp_path: Path) -> None:
    with running(tmp_path, stale_after=0.2) as service:
        client = service.client()
        client.post("/instances", json={"id": "i", "name": "Hand-written digits"}).raise_for_status()
        for id in ("silent", "ended"):
            client.post("/instances/i/runs", json={"id": id}).raise_for_status()
            client.post(f"/runs/{id}/start").raise_for_status()
        client.post("/runs/ended/complete").raise_for_status()
        wait_until(lambda: client.get("/runs/silent").json()["stale"], "the run to become stale")
        shown = athanor_(service.url, "runs", "-s", "stale").stdout
        assert "Hand-written digits" in shown
        assert "running, stale" in shown
        assert "ended" not in shown
        as_json = athanor_(service.url, "runs", "-s", "stale", "-n", "1", "--json").stdout
        assert [json.loads(line)["id"] for line in as_json.splitlines()] == ["silent"]


def test_open_prints_the_address_and_opens_it(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    run = new_run(client)
    opened = tmp_path / "opened"
    environ = environment(service.url) | {"BROWSER": f"sh -c 'echo %s > {opened}'"}
    done = subprocess.run(
        [*ATHANOR, "open"], env=environ, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout == f"{service.url}/#/runs/{run}\n"
    wait_until(opened.exists, "the browser")
    assert opened.read_text() == done.stdout


def test_delete_asks_and_deletes_all_or_nothing_of_what_is_named(
    service: Service, client: httpx.Client
) -> None:
    one, two, going_on = new_run(client), new_run(client), new_run(client)
    client.patch(f"/runs/{one}", json={"name": "first"})
    for run in (one, two):
        client.post(f"/runs/{run}/complete")
    done = athanor_(service.url, "delete", one)
    assert (done.returncode, done.stdout) == (2, "")
    assert "give --yes" in done.stderr
    assert athanor_(service.url, "delete", "--yes", one, "no-such-run").returncode == 2
    assert client.get(f"/runs/{one}").status_code == 200
    refused = athanor_(service.url, "delete", "--yes", going_on)
    assert refused.returncode == 2
    assert "is still running; cancel it first" in refused.stderr
    done = athanor_(service.url, "delete", "-y", one)
    assert (done.returncode, done.stdout) == (0, f"run {one} (first) is deleted\n")
    with Terminal([*ATHANOR, "delete", two], ROOT, environment(service.url)) as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("n\n")
        assert terminal.wait() == 0
    assert client.get(f"/runs/{two}").status_code == 200
    with Terminal([*ATHANOR, "delete", two], ROOT, environment(service.url)) as terminal:
        terminal.wait_for("[y/N]")
        terminal.type("y\n")
        assert terminal.wait() == 0
    assert client.get(f"/runs/{two}").status_code == 404
    assert [run["id"] for run in client.get("/runs").json()["runs"]] == [going_on]


def test_a_password_in_the_address_is_in_no_output_of_a_command(
    service: Service, client: httpx.Client
) -> None:
    new_run(client)
    url = service.url.replace("://", "://alice:hunter2@")
    commands = (
        "runs",
        "runs -i none",
        "runs -s failed",
        "open",
        "tail nope",
        "cancel nope",
        "delete nope",
    )
    for command in commands:
        done = athanor_(url, *command.split())
        assert "hunter2" not in done.stdout + done.stderr, command
