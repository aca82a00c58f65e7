"""The comparison beside the table: charts, legend, differences, groups, and live results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service

Tabs = Callable[..., Tab]
WIDE = {"width": 1440, "height": 1400}


@pytest.fixture
def digits(shared_service: Service, client: httpx.Client) -> str:
    """An instance with six runs, run-0 to run-5, of which the last one is running."""
    body = {"name": "Digits", "configuration": {"layers": [64]}}
    instance = client.post("/instances", json=body).json()["id"]
    for number in range(6):
        config = {"lr": 0.1 * (1 + number // 3), "same": 1, "deep": {"seed": number % 3}}
        run = f"{instance}-{number}"
        metadata = {"name": f"run-{number}", "config": config}
        client.post(f"/instances/{instance}/runs", json={"id": run, "metadata": metadata})
        client.post(f"/runs/{run}/start")
        points = [{"key": "loss", "value": 1 / (step + 1 + number), "step": step} for step in range(100)]
        client.post(f"/runs/{run}/results", json=points).raise_for_status()
        if number < 5:
            client.post(f"/runs/{run}/complete").raise_for_status()
    return str(instance)


def row(page: Page, name: str) -> Locator:
    return page.get_by_role("row", name=f"compare {name}")


def curves(page: Page) -> dict[str, str]:
    """How many points the chart of a key shows, of all runs."""
    found: dict[str, str] = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll(".chart")]
             .map((chart) => [chart.getAttribute("aria-label"), chart.dataset.points]))"""
    )
    return found


def swatch(place: Locator) -> list[Any]:
    """The colour and the dash of the first swatch."""
    found: list[Any] = place.locator(".swatch").first.evaluate(
        "mark => [mark.style.color, mark.firstElementChild.getAttribute('stroke-dasharray')]"
    )
    return found


def test_chosen_runs_stay_in_their_place_with_charts_beside_them(
    shared_service: Service, digits: str, tabs: Tabs
) -> None:
    tab = tabs(viewport=WIDE)
    page = tab.page
    page.goto(f"{shared_service.url}/#/instances/{digits}?sort=name")
    expect(page.locator(".count")).to_have_text("6 runs")
    order = page.locator(".grid-row .of-name a").all_text_contents()
    comparison = page.get_by_role("region", name="comparison")
    expect(comparison).to_be_hidden()
    row(page, "run-1").get_by_role("checkbox").check()
    row(page, "run-3").focus()
    page.keyboard.press(" ")
    expect(row(page, "run-3")).to_be_focused()
    expect(row(page, "run-3")).to_have_attribute("aria-selected", "true")
    assert page.locator(".grid-row .of-name a").all_text_contents() == order
    expect(comparison.locator(".chart")).to_have_count(1)
    wait_until(lambda: curves(page) == {"loss": "200"}, "both curves")
    # beside the table
    table, charts = page.locator(".grid-scroll").bounding_box(), comparison.bounding_box()
    assert table
    assert charts
    assert table["x"] + table["width"] <= charts["x"]
    # only what differs
    keys = comparison.locator(".difference tbody th").all_text_contents()
    assert keys == ["lr", "deep.seed", "status", "took"]
    # the same mark in the table, in the differences and in the legend; another one for each run
    legend = comparison.get_by_role("list", name="runs").get_by_role("listitem")
    expect(legend).to_have_count(2)
    marks = [swatch(row(page, name)) for name in ("run-1", "run-3")]
    assert marks == [swatch(legend.nth(0)), swatch(legend.nth(1))]
    heads = comparison.locator(".difference th[data-id]")
    assert marks == [swatch(heads.nth(0)), swatch(heads.nth(1))]
    assert marks[0][0] != marks[1][0]
    assert marks[0][1] != marks[1][1]
    # removing the first one leaves the other's mark
    legend.nth(0).get_by_role("button", name="remove run-1").click()
    expect(row(page, "run-1").get_by_role("checkbox")).not_to_be_checked()
    assert swatch(row(page, "run-3")) == marks[1]
    # a link shows the same, with the same marks
    row(page, "run-5").get_by_role("checkbox").check()
    other = tabs(viewport=WIDE)
    other.page.goto(page.url)
    expect(other.page.locator('.grid-row[aria-selected="true"]')).to_have_count(2)
    assert swatch(row(other.page, "run-3")) == marks[1]
    assert swatch(row(other.page, "run-5")) == swatch(row(page, "run-5")) == marks[0]
    wait_until(lambda: curves(other.page) == {"loss": "200"}, "both curves")
    page.get_by_role("button", name="Clear").click()
    expect(comparison).to_be_hidden()
    assert "compare" not in page.url
    assert tab.errors == other.errors == []


def test_on_a_narrow_screen_the_charts_are_below_the_table(
    shared_service: Service, digits: str, tabs: Tabs
) -> None:
    for width in (900, 390):
        page = tabs(viewport={"width": width, "height": 800}).page
        page.goto(f"{shared_service.url}/#/instances/{digits}?compare={digits}-0,{digits}-1")
        comparison = page.get_by_role("region", name="comparison")
        expect(comparison.locator(".chart")).to_have_count(1)
        table, charts = page.locator(".grid-scroll").bounding_box(), comparison.bounding_box()
        assert table
        assert charts
        assert table["y"] + table["height"] <= charts["y"]
        # the head takes no more than a quarter
        assert table["y"] < 200


def test_row_legend_and_chart_point_at_the_same_run(
    shared_service: Service, digits: str, tabs: Tabs
) -> None:
    tab = tabs(viewport=WIDE)
    page = tab.page
    page.goto(f"{shared_service.url}/#/instances/{digits}?compare={digits}-0&compare={digits}-1")
    legend = page.get_by_role("list", name="runs").get_by_role("listitem")
    expect(legend).to_have_count(2)
    for name, place in (("run-0", 0), ("run-1", 1)):
        row(page, name).hover()
        expect(legend.nth(place)).to_have_class("strong")
        expect(page.locator(".difference th.lit")).to_have_text(name)
        legend.nth(1 - place).hover()
        expect(legend.nth(1 - place)).to_have_class("strong")
        expect(page.locator(".grid-row.lit")).to_contain_text(f"run-{1 - place}")
    # a run that is not drawn makes no other one faint
    row(page, "run-4").hover()
    expect(page.locator(".legend .strong")).to_have_count(0)
    assert tab.errors == []


def test_a_chosen_group_has_one_mark_and_a_mean(shared_service: Service, digits: str, tabs: Tabs) -> None:
    tab = tabs(viewport=WIDE)
    page = tab.page
    page.goto(f"{shared_service.url}/#/instances/{digits}?group=config.lr")
    groups = page.locator(".of-group")
    expect(groups).to_have_count(2)
    for number in range(2):
        groups.nth(number).get_by_role("checkbox").check()
    legend = page.get_by_role("list", name="runs").get_by_role("listitem")
    expect(legend).to_have_count(2)
    expect(legend.nth(0)).to_contain_text("lr = 0.1 3 runs")
    assert swatch(legend.nth(0)) == swatch(groups.nth(0))
    assert swatch(legend.nth(1)) == swatch(groups.nth(1)) != swatch(groups.nth(0))
    expect(page.get_by_label("band")).to_be_visible()
    legend.nth(1).hover()
    expect(page.locator(".grid-row.lit")).to_contain_text("lr = 0.2")
    assert tab.errors == []


def test_live_results_reach_the_charts_and_the_table(
    shared_service: Service, client: httpx.Client, digits: str, tabs: Tabs
) -> None:
    tab = tabs(viewport=WIDE)
    page = tab.page
    runs = [f"{digits}-4", f"{digits}-5"]
    page.goto(f"{shared_service.url}/#/instances/{digits}?compare={','.join(runs)}&columns=last.loss")
    live = row(page, "run-5")
    for step in range(100, 140):
        client.post(f"/runs/{runs[1]}/results", json={"key": "loss", "value": step / 7, "step": step})
    wait_until(lambda: curves(page) == {"loss": "240"}, "every point")
    expect(live).to_contain_text("19.857")
    # a run that is chosen while its results come
    late = f"{digits}-late"
    metadata = {"name": "late", "config": {"lr": 1}}
    client.post(f"/instances/{digits}/runs", json={"id": late, "metadata": metadata})
    client.post(f"/runs/{late}/start")
    for step in range(100):
        client.post(f"/runs/{late}/results", json={"key": "loss", "value": step, "step": step})
        if step == 20:
            row(page, "late").get_by_role("checkbox").check()
    client.post(f"/runs/{late}/complete")
    client.post(f"/runs/{runs[1]}/complete")
    expect(row(page, "late")).to_contain_text("99")
    wait_until(lambda: curves(page) == {"loss": "340"}, "every point of all three")
    # deleting a run takes it out of the comparison
    client.delete(f"/runs/{late}").raise_for_status()
    wait_until(lambda: curves(page) == {"loss": "240"}, "the two others")
    assert "late" not in page.url
    assert tab.errors == []


def test_a_link_to_a_run_that_is_gone_says_so(
    shared_service: Service, client: httpx.Client, digits: str, tab: Tab
) -> None:
    tab.page.goto(f"{shared_service.url}/#/instances/{digits}?compare={digits}-0&compare=gone")
    expect(tab.page.locator(".count")).to_have_text("6 runs, 1 of the chosen ones no longer exists")
    expect(tab.page.locator('.grid-row[aria-selected="true"]')).to_have_count(1)
    assert tab.errors == []
