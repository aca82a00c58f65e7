"""What a script says of its run: its name, configuration, tags, notes and summary; and its steps."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import httpx
import pytest

import athanor
from athanor.client.output.bar import Bar
from athanor.client.output.transcript import Transcript

from ..support.follower import wait_until
from ..support.scripts import Scripts, environment, has_started, sync
from ..support.service import Service
from ..support.terminals import Terminal


def results(client: httpx.Client, run: str) -> list[tuple[str, Any, Any]]:
    found = client.get(f"/runs/{run}/results?limit=10000").json()["results"]
    return [(result["key"], result["value"], result["step"]) for result in found]


FIELDS = """
    import athanor

    config = {{"lr": 0.1, "deep": {{"a": 1}}}}
    with athanor.init(project="fields", id="{id}", config=config, tags=["x"]) as run:
        assert run.config.lr == run.config["lr"] == 0.1
        run.config["epochs"] = 3
        run.config.update(lr=0.2, hf_token="hunter2")
        run.config.update({{"deep": {{"b": 2}}}})
        run.summary["best"] = float("nan")
        run.summary.update({{"best": 0.5, "epoch": 7}})
        del run.summary["epoch"]
        run.name = "renamed"
        run.tags = ("y", "z")
        run.notes = "looks good"
        run.log("done")
    """


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_run_is_described_while_it_runs(
    mode: str, shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    id = f"fields-{mode}"
    script = scripts(FIELDS.format(id=id), shared_service.url, mode=mode)
    assert script.run() == 0
    if mode == "offline":
        assert sync(script.folder, shared_service.url).returncode == 0
    run = client.get(f"/runs/{id}").json()
    assert (run["instance_id"], run["status"], run["log_count"]) == ("fields", "completed", 1)
    metadata = run["metadata"]
    assert metadata["config"] == {"lr": 0.2, "deep": {"a": 1, "b": 2}, "epochs": 3, "hf_token": "***"}
    assert metadata["summary"] == {"best": 0.5}
    assert (metadata["name"], metadata["tags"], metadata["notes"]) == (
        "renamed",
        ["y", "z"],
        "looks good",
    )


def test_a_run_without_a_name_is_given_one_and_its_address_is_printed_once(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    text = """
        import athanor
        run = athanor.init("named")
        print(run.id, run.name)
        athanor.log("by the module")
        athanor.log({"loss": 1}, 2)
        athanor.result("deep", {"a": 1})
        athanor.progress(1, 2)
        athanor.finish()
        athanor.log("too late")
        """
    script = scripts(text, shared_service.url, quiet=0)
    assert script.run() == 0
    id, name = script.stdout.split()
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d\d", name)
    assert script.notices == [
        f"athanor: run {name}: {shared_service.url}/#/runs/{id}",
        "athanor: athanor.log has no run: call athanor.init first",
    ]
    assert client.get(f"/runs/{id}").json()["metadata"]["name"] == name
    assert results(client, id) == [("loss", 1, 2), ("deep", {"a": 1}, None)]
    offline = scripts(text, shared_service.url, quiet=0, mode="offline")
    assert offline.run() == 0
    assert "is kept in" in offline.notices[0]
    assert "athanor sync" in offline.notices[0]
    assert shared_service.url not in offline.notices[0]


def test_numbers_and_steps_of_every_type_are_kept(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import math
        from decimal import Decimal
        from fractions import Fraction
        import athanor, numpy

        with athanor.init("numbers", id="numbers") as run:
            run.log({"train": {"loss": 0.1, "deep": {"er": 1}}, "empty": {}}, 5)
            run.log({"a": Decimal("0.1"), "b": Fraction(1, 4)}, Fraction(3, 2))
            odd = {"nan": math.nan, "inf": math.inf, "minus": -math.inf, "null": None}
            run.log(odd, step=numpy.int64(2))
            run.log({"big": 2**53 + 1, "huge": 10**30}, 0.25)
            for step in (2**53 + 1, math.nan, "seven", object()):
                run.log({"odd": 1}, step)
            run.log({"x" * 300 + "1": 1, "x" * 300 + "2": 2})
            run.log("message", 7)
            run.log("old style", "warn")
        """,
        shared_service.url,
    )
    assert script.run() == 0
    found = results(client, "numbers")
    assert found[:12] == [
        ("train/loss", 0.1, 5),
        ("train/deep/er", 1, 5),
        ("empty", {}, 5),
        ("a", 0.1, 1.5),
        ("b", 0.25, 1.5),
        ("nan", "NaN", 2),
        ("inf", "Infinity", 2),
        ("minus", "-Infinity", 2),
        ("null", None, 2),
        ("big", 2**53 + 1, 0.25),
        ("huge", 10**30, 0.25),
        ("odd", 1, None),
    ]
    assert [step for key, _, step in found if key == "odd"] == [None] * 4
    long_keys = [key for key, _, _ in found if key.startswith("xxx")]
    assert len(set(long_keys)) == 2
    assert all(len(key) <= 200 for key in long_keys)
    logs = client.get("/runs/numbers/logs").json()["logs"]
    assert [(log["message"], log["level"], log["metadata"]) for log in logs] == [
        ("message", "info", {"step": 7}),
        ("old style", "warn", None),
    ]
    assert len([notice for notice in script.notices if "is no step" in notice]) == 1
    assert "9007199254740993 is no step: it must be a number from -2^53 to 2^53" in script.stderr


def test_instance_and_project_are_one_thing() -> None:
    assert athanor.init(project="x", mode="disabled").id
    assert athanor.init("x", project="x", mode="disabled").id
    with pytest.raises(athanor.ConfigurationError, match="the same thing: give one of them"):
        athanor.init("x", project="y", mode="disabled")
    with pytest.raises(athanor.InvalidInput, match="can't name an instance"):
        athanor.init(mode="disabled")


def test_a_service_without_patch_costs_a_notice_and_no_line(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    """As a service of an earlier version, or a proxy that forbids the method."""
    script = scripts(
        """
        import athanor
        from athanor.client import responses
        from athanor.client.delivery.api import RunApi

        call = RunApi._call

        def without_patch(self, method, path, body=None, headers=None):
            path = "/instances" if method == "PATCH" else path
            return call(self, method, path, body, headers)

        RunApi._call = without_patch
        with athanor.init("old", id="old") as run:
            run.log("before")
            run.config["lr"] = 1
            run.log("after")
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert len(script.notices) == 1
    assert "a change of the run's metadata was refused" in script.notices[0]
    assert client.get("/runs/old").json()["log_count"] == 2


def test_a_cancelled_script_ends_quietly_with_130(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import athanor, sys, time
        before = sys.excepthook

        run = athanor.init("quiet", id="quiet")
        for number in run.track(range(10_000)):
            time.sleep(0.01)
        """,
        shared_service.url,
    ).start()
    wait_until(lambda: has_started(client, "quiet"), "its start")
    client.post("/runs/quiet/cancel").raise_for_status()
    assert script.wait() == 130
    assert (script.stdout, script.stderr) == ("", "")
    assert client.get("/runs/quiet").json()["status"] == "cancelled"
    other = scripts("import athanor\nathanor.init('x', mode='disabled')\n1 / 0\n", shared_service.url)
    assert other.run() == 1
    assert "ZeroDivisionError" in other.stderr


TRACKED = """
import athanor, time
with athanor.init("bars", id="bars") as run:
    for epoch in run.track(range(3), "epochs"):
        for step in run.track(range(4), "steps"):
            time.sleep(0.05)
    for item in run.track(iter("ab")):
        time.sleep(0.15)
"""


def test_track_draws_a_bar_on_a_terminal_and_nothing_elsewhere(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(TRACKED, shared_service.url, quiet=0)
    environ = environment(shared_service.url, quiet=0)
    with Terminal([sys.executable, "script.py"], script.folder, environ) as terminal:
        assert terminal.wait() == 0
        shown = terminal.shown
    lines: list[str] = []
    bars: list[list[Bar]] = []
    transcript = Transcript(lambda line, at: lines.append(line), bars.append, lambda error: None)
    for character in shown:
        transcript.feed(character)
    transcript.close()
    assert re.fullmatch(r"epochs: 100%\|█+\| 3/3 \[00:0\d<00:0\d, .*(it/s|s/it)\]", lines[1])
    assert re.fullmatch(r"2it \[00:0\d, .*(it/s|s/it)\]", lines[2])
    assert any(len(each) == 2 and each[1].message == "steps" for each in bars)
    assert not any(line.startswith("steps") for line in lines)
    client.delete("/runs/bars").raise_for_status()
    piped = scripts(TRACKED, shared_service.url)
    assert piped.run() == 0
    assert (piped.stdout, piped.stderr) == ("", "")


def test_system_metrics_are_results_and_off_by_default(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import athanor, time
        with athanor.init("machine", id="machine", system_metrics=True) as run:
            while not run.cancelled:
                time.sleep(0.05)
        """,
        shared_service.url,
    )
    # NVIDIA's library, as it answers on a machine with one GPU that reports no power
    (script.folder / "pynvml.py").write_text(
        "from types import SimpleNamespace as Answer\n"
        "NVML_TEMPERATURE_GPU = 0\n"
        "def nvmlInit(): pass\n"
        "def nvmlDeviceGetCount(): return 1\n"
        "def nvmlDeviceGetHandleByIndex(index): return index\n"
        "def nvmlDeviceGetUtilizationRates(handle): return Answer(gpu=40, memory=5)\n"
        "def nvmlDeviceGetMemoryInfo(handle): return Answer(used=3, total=4)\n"
        "def nvmlDeviceGetTemperature(handle, kind): return 61\n"
        "def nvmlDeviceGetPowerUsage(handle): raise RuntimeError('not supported')\n"
    )
    script.start()
    expected = {"cpu", "memory", "process_memory", "disk", "network_sent", "network_received"}
    expected |= {"gpu/0/use", "gpu/0/memory", "gpu/0/temperature"}

    def has_all() -> bool:
        if client.get("/runs/machine").status_code != 200:
            return False
        return {f"system/{name}" for name in expected} <= {
            key for key, _, _ in results(client, "machine")
        }

    wait_until(has_all, "a sample")
    client.post("/runs/machine/cancel").raise_for_status()
    assert script.wait() == 0
    values = {key.removeprefix("system/"): value for key, value, _ in results(client, "machine")}
    assert 0 <= values["cpu"] <= 100
    assert 0 < values["memory"] <= 100
    assert 10_000_000 < values["process_memory"] < 10**10
    assert (values["gpu/0/use"], values["gpu/0/memory"], values["gpu/0/temperature"]) == (40, 75, 61)
    assert "gpu/0/power" not in values
    without = scripts(
        "import sys\nsys.modules['psutil'] = None\nimport athanor\n"
        "with athanor.init('machine', id='bare', system_metrics=True) as run:\n    run.log('on')\n",
        shared_service.url,
    )
    assert without.run() == 0
    assert without.notices == ["athanor: system metrics need psutil: pip install 'athanor-sse[system]'"]
    assert client.get("/runs/bare").json()["result_count"] == 0
    assert json.loads(client.get("/runs/bare").text)["status"] == "completed"
