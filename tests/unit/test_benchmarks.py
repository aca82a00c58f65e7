"""The benchmarks' report: turns, parties that fail or are left out, and bounds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import document
from benchmarks.machine import Machine
from benchmarks.measurement import Measurement, Party, Result, Scale, Target, measure
from benchmarks.plots import number

MACHINE = Machine("2026-11-26", "abc", "a processor", 2, 24, "Linux", {"Python": "3.11"}, "C", "once")
order: list[str] = []


def party(name: str, *values: float) -> Party:
    """Has one value in each turn, and fails when they are used up."""
    left = list(values)

    def run() -> dict[str, float]:
        order.append(name)
        if not left:
            raise RuntimeError(f"{name} | is\nbroken")
        return {"cost": left.pop(0)}

    return run


def measured(**parties: Party) -> tuple[Measurement, Result]:
    @contextlib.contextmanager
    def prepared(scale: Scale) -> Iterator[dict[str, Party]]:
        yield parties

    order.clear()
    over = Target(
        "cost over a peer's", lambda turn: turn["Athanor"]["cost"] / turn["Peer"]["cost"], most=2
    )
    measurement = Measurement("costs", "Costs", "What it costs.", prepared, [over], ["cost"])
    return measurement, measure(measurement, Scale(True), 3, lambda _: None)


def written(tmp_path: Path, result: tuple[Measurement, Result]) -> str:
    path = tmp_path / "figures.md"
    document.write(path, MACHINE, {"costs": result})
    return path.read_text()


def test_parties_take_turns_and_a_ratio_is_that_of_a_turn(tmp_path: Path) -> None:
    measurement, result = measured(Athanor=party("Athanor", 2, 9, 4), Peer=party("Peer", 1, 3, 4))
    assert order == ["Athanor", "Peer", "Peer", "Athanor", "Athanor", "Peer"]
    assert result.values == {"Athanor": {"cost": [2, 9, 4]}, "Peer": {"cost": [1, 3, 4]}}
    assert result.targets == {"cost over a peer's": [2, 3, 1]}
    assert not result.failed
    text = written(tmp_path, (measurement, result))
    assert "| cost over a peer's | 2 (1 to 3) | ≤ 2 | reached |" in text
    assert "| Athanor | 4 (2 to 9) |" in text
    plot = ElementTree.fromstring((tmp_path / "figures" / "costs.svg").read_text())
    assert [each.get("class") for each in plot.iter() if "bar" in each.get("class", "")] == [
        "bar own",
        "bar",
    ]


def test_a_peer_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    measurement, result = measured(
        Athanor=party("Athanor", 3, 3, 3), Peer=party("Peer", 1), Other="it is not here"
    )
    assert order == ["Athanor", "Peer", "Peer", "Athanor", "Athanor"]
    assert result.skipped == {"Other": "it is not here", "Peer": "failed: RuntimeError: Peer | is"}
    assert result.targets == {"cost over a peer's": [3]}
    assert not result.failed
    text = written(tmp_path, (measurement, result))
    assert "| cost over a peer's | 3 | ≤ 2 | **not reached** |" in text
    assert "Left out: Other: it is not here. Peer: failed: RuntimeError: Peer   is." in text


def test_a_failure_of_athanor_is_one_of_the_run(tmp_path: Path) -> None:
    measurement, result = measured(Athanor=party("Athanor"), Peer=party("Peer", 1, 1, 1))
    assert result.failed
    assert "| cost over a peer's | not measured | ≤ 2 | |" in written(tmp_path, (measurement, result))


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345, "0.123"), (21.46, "21.5"), (999.6, "1,000"), (1234.5, "1,230"), (4_081_632, "4,080,000")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown
