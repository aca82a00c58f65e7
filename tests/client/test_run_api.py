"""The methods of a run, called by scripts."""

from __future__ import annotations

import json
import pickle
from typing import Any

import httpx
import pytest

import athanor

from ..support.scripts import Scripts, messages, status
from ..support.service import Service


def logs(client: httpx.Client, run: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/runs/{run}/logs").json()["logs"]
    return found


def test_all_kinds_of_reports(shared_service: Service, client: httpx.Client, scripts: Scripts) -> None:
    script = scripts(
        """
        import athanor

        with athanor.init("Hand-written digits", id="all", name="first", config={"lr": 3e-4}) as run:
            run.log("plain")
            run.log("loud", level="warning", step=3, lr=0.1)
            run.debug("d", a=1)
            run.info("i")
            run.warning("w")
            run.error("e")
            run.result("sample", {"image": 3, "guess": 8})
            run.log({"loss": 0.31, "accuracy": 0.94}, step=10)
            run.progress(3, 10, "batch 3")
            print(run.id, run.url, run)
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert script.stdout.startswith(f"all {shared_service.url}/#/runs/all <athanor.Run all of ")
    run = client.get("/runs/all").json()
    assert (run["status"], run["log_count"], run["result_count"]) == ("completed", 6, 3)
    assert (run["metadata"]["name"], run["metadata"]["config"]) == ("first", {"lr": 3e-4})
    assert run["metadata"]["script"] == "script.py"
    assert run["progress"]["message"] == "batch 3"
    instance = client.get(f"/instances/{run['instance_id']}").json()
    assert (instance["name"], instance["configuration"]) == ("Hand-written digits", {"lr": 3e-4})
    entries = [(log["level"], log["message"], log["metadata"]) for log in logs(client, "all")]
    assert entries == [
        ("info", "plain", None),
        ("warn", "loud", {"lr": 0.1, "step": 3}),
        ("debug", "d", {"a": 1}),
        ("info", "i", None),
        ("warn", "w", None),
        ("error", "e", None),
    ]
    results = client.get("/runs/all/results").json()["results"]
    assert [(result["key"], result["value"], result["step"]) for result in results] == [
        ("sample", {"image": 3, "guess": 8}, None),
        ("loss", 0.31, 10),
        ("accuracy", 0.94, 10),
    ]


def test_an_instance_is_found_by_its_name_and_created_once(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    client.post("/instances", json={"id": "created-before", "name": "Created before"}).raise_for_status()
    script = scripts(
        """
        import athanor

        for name in ("Created before", "new", "new", "Ünïcode / slash"):
            athanor.init(name).finish()
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert len(client.get("/instances/created-before/runs").json()["runs"]) == 1
    for name, runs in (("Created before", 1), ("new", 2), ("Ünïcode / slash", 1)):
        (instance,) = client.get("/instances", params={"name": name}).json()["instances"]
        assert instance["run_count"] == runs


def test_ways_to_end(shared_service: Service, client: httpx.Client, scripts: Scripts) -> None:
    script = scripts(
        """
        import sys
        import athanor

        athanor.init("ends", id="finished").finish()
        athanor.init("ends", id="failed").fail("why not")
        try:
            1 / 0
        except ZeroDivisionError as error:
            athanor.init("ends", id="raised").fail(error)
        athanor.init("ends", id="cancelled").cancel()
        twice = athanor.init("ends", id="twice")
        twice.fail("first")
        twice.finish()
        for code in (0, 7):
            try:
                with athanor.init("ends", id=f"exit-{code}"):
                    sys.exit(code)
            except SystemExit:
                pass
        try:
            with athanor.init("ends", id="checked") as run:
                raise athanor.Cancelled
        except athanor.Cancelled:
            pass
        with athanor.init("ends", id="outer") as outer:
            with athanor.init("ends", id="inner") as inner:
                inner.log("of the inner")
            outer.log("of the outer")
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    expected = {
        **{
            "finished": ("completed", None),
            "failed": ("failed", "why not"),
            "twice": ("failed", "first"),
        },
        **{"cancelled": ("cancelled", None), "checked": ("cancelled", None)},
        **{"exit-0": ("completed", None), "exit-7": ("failed", "exit code 7")},
    }
    for id, (ended, error) in expected.items():
        run = client.get(f"/runs/{id}").json()
        assert (run["status"], run["error"]) == (ended, error), id
    assert "ZeroDivisionError: division by zero" in client.get("/runs/raised").json()["error"]
    assert messages(client, "inner") == ["of the inner"]
    assert messages(client, "outer") == ["of the outer"]


def test_each_call_of_a_decorated_function_is_a_run(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import asyncio
        import athanor

        @athanor.experiment("decorated")
        def train(run, lr=3e-4, *, seed):
            run.log("trained")
            return lr

        @athanor.experiment("decorated", name="async")
        async def evaluate(data):
            await asyncio.sleep(0)
            raise ValueError(data)

        assert train(lr=0.5, seed=1) == 0.5
        assert train(seed=2) == 3e-4
        try:
            asyncio.run(evaluate("bad data"))
        except ValueError:
            pass
        print(train.__name__, train.__doc__)
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    assert script.stdout == "train None\n"
    last, second, first = client.get("/instances/decorated/runs").json()["runs"]
    assert first["metadata"]["config"] == {"lr": 0.5, "seed": 1}
    assert second["metadata"]["config"] == {"lr": 3e-4, "seed": 2}
    assert (last["metadata"]["config"], last["metadata"]["name"]) == ({"data": "bad data"}, "async")
    assert [run["status"] for run in (first, second, last)] == ["completed", "completed", "failed"]


def test_loops_are_tracked_nested_and_over_any_iterable(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import asyncio
        import athanor

        shown = []
        run = athanor.init("tracks", mode="disabled")
        run._tracks._show = lambda *state: shown.append(state)

        def take():
            found, shown[:] = shown[:], []
            return found

        assert list(run.track("ab", "letters")) == ["a", "b"]
        print(take())
        for epoch in run.track(range(2), "epoch"):
            for batch in run.track(range(2), "batch"):
                pass
        print(take())
        print(list(run.track(iter("xy"))), take(), len(run.track([1, 2, 3])))
        for number in run.track(range(9), total=100):
            if number == 1:
                break
        print(take())
        next(iter(run.track("z", "after a break")))
        print(take())

        async def numbers():
            for number in range(2):
                yield number

        async def main():
            print([number async for number in run.track(numbers(), "async", total=2)], take())
            print([letter async for letter in run.track("ab")])

        asyncio.run(main())
        try:
            list(run.track(numbers()))
        except TypeError as error:
            print(error)
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    assert script.stdout.splitlines() == [
        "[(0, 2, 'letters'), (1, 2, 'letters'), (2, 2, 'letters')]",
        "[(0, 2, 'epoch'), (0.0, 2, 'epoch 0/2 · batch 0/2'), (0.5, 2, 'epoch 0/2 · batch 1/2'), "
        "(1.0, 2, 'epoch 0/2 · batch 2/2'), (1, 2, 'epoch'), (1.0, 2, 'epoch 1/2 · batch 0/2'), "
        "(1.5, 2, 'epoch 1/2 · batch 1/2'), (2.0, 2, 'epoch 1/2 · batch 2/2'), (2, 2, 'epoch')]",
        "['x', 'y'] [(0, None, None), (1, None, None), (2, None, None)] 3",
        "[(0, 100, None), (1, 100, None)]",
        "[(0, 1, 'after a break')]",
        "[0, 1] [(0, 2, 'async'), (1, 2, 'async'), (2, 2, 'async')]",
        "['a', 'b']",
        "async_generator needs `async for`",
    ]


def test_output_is_captured_and_still_printed(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import sys, threading
        import athanor
        from tqdm import tqdm

        with athanor.init("captured", id="captured") as run:
            with run.capture():
                print("one", end="")
                print(" and two")
                print("wrong", file=sys.stderr)
                for _ in tqdm(range(50), desc="train", mininterval=0):
                    pass
                sys.stdout.write("no end")
            print("not captured")
            capture = run.capture()
            threads = [threading.Thread(target=print, args=[f"thread {n}"]) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            print(sys.stdout.isatty(), sys.stdout.fileno())
        print("after the run")
        """,
        shared_service.url,
    )
    assert script.run() == 0
    assert script.stdout.startswith("one and two\nno endnot captured\n")
    assert script.stdout.endswith("False 1\nafter the run\n")
    assert "wrong\n" in script.stderr
    assert script.stderr.count("train: ") > 50
    found = logs(client, "captured")
    lines = [log["message"] for log in found]
    assert lines[:2] == ["one and two", "wrong"]
    assert found[1]["metadata"] == {"stream": "stderr"}
    # the bar's row is kept as long as it may be redrawn
    assert sum(line.startswith("train:") for line in lines[2:4]) == 1
    assert "no end" in lines[2:4]
    assert sorted(lines[4:8]) == [f"thread {n}" for n in range(4)]
    assert lines[8:] == ["False 1"]
    assert client.get("/runs/captured").json()["progress"]["current"] == 50


def test_logging_records_go_to_the_newest_run(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import logging
        import athanor

        logging.getLogger().addHandler(athanor.LoggingHandler())
        logging.getLogger().setLevel(logging.DEBUG)
        log = logging.getLogger("mine")
        log.info("without a run")
        with athanor.init("logged", id="logged") as run:
            log.debug("d %s", 1)
            log.warning("w", extra={"lr": 0.1})
            log.critical("c")
            try:
                1 / 0
            except ZeroDivisionError:
                log.exception("oh")
            with athanor.init("logged", id="logged-2"):
                log.info("of the inner")
            log.info("of the outer")
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    found = logs(client, "logged")
    assert [(log["level"], log["message"]) for log in found[:3]] == [
        ("debug", "d 1"),
        ("warn", "w"),
        ("error", "c"),
    ]
    assert found[1]["metadata"] == {"logger": "mine", "lr": 0.1}
    assert found[3]["message"].startswith("oh\nTraceback")
    assert [log["message"] for log in found[4:]] == ["of the outer"]
    assert messages(client, "logged-2") == ["of the inner"]
    assert script.stderr == ""


CONFIGS = {
    "argparse.Namespace(lr=0.1)": {"lr": 0.1},
    "types.SimpleNamespace(lr=0.1)": {"lr": 0.1},
    "Config(0.1)": {"lr": 0.1},
    "{'path': pathlib.Path('data'), 1: numpy.float32(0.5)}": {"path": "data", "1": 0.5},
    "None": None,
    "42": {"config": 42},
}


@pytest.mark.parametrize("config", list(CONFIGS))
def test_configurations_of_many_types(config: str, scripts: Scripts) -> None:
    script = scripts(
        f"""
        import argparse, dataclasses, json, pathlib, types, numpy
        import athanor

        @dataclasses.dataclass
        class Config:
            lr: float

        run = athanor.init("x", config={config}, mode="disabled")
        print(json.dumps(run._registration.metadata.get("config")))
        """
    )
    assert script.run() == 0, script.stderr
    assert json.loads(script.stdout) == CONFIGS[config]


@pytest.mark.parametrize("name", ["", "x" * 1000, 7, None])
def test_an_invalid_name_is_refused_at_once(name: Any) -> None:
    with pytest.raises(athanor.InvalidInput, match="can't name an instance"):
        athanor.init(name, mode="disabled")


def test_an_invalid_id_is_refused_at_once() -> None:
    with pytest.raises(athanor.ConfigurationError, match="id is 'no such/id'"):
        athanor.init("x", id="no such/id", mode="disabled")


def test_a_run_can_be_pickled() -> None:
    with athanor.init("x", mode="disabled") as run:
        assert pickle.loads(pickle.dumps(run)).id == run.id


def test_async_with_does_not_block_the_event_loop_at_its_end(
    shared_service: Service, client: httpx.Client, scripts: Scripts
) -> None:
    script = scripts(
        """
        import asyncio
        import athanor

        ticks = 0

        async def tick():
            global ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        async def main():
            ticking = asyncio.create_task(tick())
            async with athanor.init("async", id="async") as run:
                async for number in run.track(range(3)):
                    run.log(str(number))
                before = ticks
            assert ticks > before
            ticking.cancel()

        asyncio.run(main())
        """,
        shared_service.url,
    )
    assert script.run() == 0, script.stderr
    assert status(client, "async") == "completed"
    assert messages(client, "async") == ["0", "1", "2"]
