"""The overview: what is new, all experiments on a few screens, all runs, and a search over both."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service

Tabs = Callable[..., Tab]
HOUR = 3600 * 1000


def add(client: httpx.Client, instance: str, run: str, end: str | None, **metadata: Any) -> None:
    body = {"id": run, "metadata": {"name": run, **metadata}}
    client.post(f"/instances/{instance}/runs", json=body).raise_for_status()
    client.post(f"/runs/{run}/start").raise_for_status()
    if end == "fail":
        error = {"error": "Traceback\nMemoryError: no more"}
        client.post(f"/runs/{run}/fail", json=error).raise_for_status()
    elif end:
        client.post(f"/runs/{run}/{end}").raise_for_status()


def news(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("region", name=name, exact=True)


@pytest.fixture
def lab(service: Service) -> Service:
    """77 experiments: exp-0 to exp-76, most of which have a run; three runs in exp-5."""
    client = service.client()
    for number in range(77):
        description = "the memory of small networks" if number == 40 else None
        body = {"name": f"Experiment {number}", "description": description}
        client.put(f"/instances/exp-{number}", json=body).raise_for_status()
        if number % 2:
            add(client, f"exp-{number}", f"run-{number}", "complete")
    add(client, "exp-5", "broken", "fail", config={"lr": 3})
    add(client, "exp-5", "alive", None, config={"lr": 1})
    client.post("/runs/alive/progress", json={"current": 41, "total": 100, "message": "epoch 41"})
    client.post("/runs/alive/results", json={"key": "loss", "value": 0.25, "step": 0})
    return service


def test_77_experiments_are_on_three_screens_with_their_runs(lab: Service, tabs: Tabs) -> None:
    tab = tabs(viewport={"width": 1440, "height": 900})
    tab.page.goto(lab.url)
    rows = tab.page.get_by_role("table", name="experiments").get_by_role("row")
    expect(rows).to_have_count(78)
    height, screen = tab.page.locator(".overview-list").evaluate(
        "list => [list.scrollHeight, list.clientHeight]"
    )
    assert height <= 3 * screen
    row = tab.page.locator("tr", has=tab.page.locator('a[href="#/instances/exp-5"]'))
    expect(row).to_contain_text("1 running1 failed1 completed")
    expect(row.get_by_role("link", name="alive")).to_be_visible()
    # the newest activity first
    expect(rows.nth(1)).to_contain_text("Experiment 5")
    assert tab.errors == []


def test_one_glance_says_what_runs_what_failed_and_what_ended_since_the_last_visit(
    lab: Service, tab: Tab
) -> None:
    client = lab.client()
    tab.page.goto(lab.url)
    expect(news(tab, "running")).to_contain_text("alive · Experiment 5")
    expect(news(tab, "running")).to_contain_text("41 % · epoch 41")
    expect(news(tab, "failed")).to_contain_text("MemoryError: no more")
    expect(news(tab, "finished")).to_contain_text("Finished 38")
    expect(tab.page.locator(".news")).to_contain_text("in the last 24 hours")
    tab.page.get_by_role("button", name="Mark as seen").click()
    expect(news(tab, "failed")).to_contain_text("nothing failed")
    expect(news(tab, "finished")).to_contain_text("nothing finished")
    # the service is not asked again: events bring what follows
    client.post("/runs/alive/progress", json={"current": 99, "total": 100})
    expect(news(tab, "running")).to_contain_text("99 %")
    client.post("/runs/alive/complete")
    expect(news(tab, "finished").get_by_role("link")).to_contain_text("alive")
    expect(news(tab, "running")).to_contain_text("nothing runs")
    # a visit that begins an hour later
    tab.page.evaluate(
        f"""() => {{
          const {{ at, since }} = JSON.parse(localStorage.getItem("athanor visit"));
          const earlier = {{ at: at - {HOUR}, since: since - 2 * {HOUR} }};
          localStorage.setItem("athanor visit", JSON.stringify(earlier));
        }}"""
    )
    tab.page.goto("about:blank")
    add(client, "exp-7", "later", "complete")
    tab.page.goto(lab.url)
    expect(tab.page.locator(".news")).to_contain_text("since your last visit")
    expect(news(tab, "finished")).to_contain_text("later · Experiment 7")
    news(tab, "finished").get_by_role("link").first.click()
    expect(tab.page.locator("h1")).to_contain_text("later")
    assert tab.errors == []


def test_a_search_finds_experiments_and_runs(lab: Service, tab: Tab) -> None:
    tab.page.goto(lab.url)
    experiments = tab.page.get_by_role("tab", name=re.compile("^Experiments"))
    runs = tab.page.get_by_role("tab", name=re.compile("^Runs"))
    expect(experiments).to_have_text("Experiments 77")
    expect(runs).to_have_text("Runs 40")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("memory")
    # one by its description, one by its run's error
    expect(experiments).to_have_text("Experiments 2")
    expect(runs).to_have_text("Runs 1")
    # it opens with the runs that were found
    tab.page.get_by_role("link", name="Experiment 5", exact=True).click()
    expect(tab.page.locator("h1")).to_have_text("Experiment 5")
    expect(tab.page.get_by_label("filter runs")).to_have_value("memory")
    expect(tab.page.locator(".grid-row")).to_have_count(1)
    tab.back()
    expect(experiments).to_have_text("Experiments 2")
    tab.page.get_by_label("filter runs").fill("lr>2")
    expect(experiments).to_have_text("Experiments 1")
    # a metric is found too, though no list had it before
    tab.page.get_by_label("filter runs").fill("loss<0.3")
    expect(runs).to_have_text("Runs 1")
    experiments.focus()
    tab.page.keyboard.press("ArrowRight")
    expect(runs).to_be_focused()
    row = tab.page.get_by_role("row", name="compare alive")
    expect(row).to_contain_text("Experiment 5")
    expect(row).to_contain_text("0.25")
    assert "view=runs" in tab.page.url
    tab.page.reload()
    expect(row).to_contain_text("0.25")
    tab.page.get_by_label("filter runs").fill("nothing like this")
    expect(tab.page.locator(".nothing")).to_contain_text("No run matches nothing like this.")
    tab.page.get_by_role("tab", name=re.compile("^Experiments")).click()
    expect(tab.page.locator(".overview-list")).to_contain_text("No experiment matches")
    tab.page.get_by_role("button", name="Clear the filter").locator("visible=true").click()
    expect(experiments).to_have_text("Experiments 77")
    assert tab.errors == []


def test_the_overview_follows_experiments_and_returns_to_its_place(lab: Service, tab: Tab) -> None:
    client = lab.client()
    tab.page.goto(lab.url)
    tab.expect_state("live")
    client.patch("/instances/exp-3", json={"name": "Renamed"})
    expect(tab.page.get_by_role("link", name="Renamed")).to_be_attached()
    client.put("/instances/fresh", json={"name": "Fresh"})
    expect(tab.page.get_by_role("table", name="experiments").get_by_role("row").nth(1)).to_contain_text(
        "Fresh"
    )
    client.delete("/instances/exp-1")
    expect(tab.page.get_by_role("tab", name="Experiments 77")).to_be_visible()
    expect(tab.page.get_by_role("tab", name="Runs 39")).to_be_visible()
    scroller = tab.page.locator(".overview-list")
    scroller.evaluate("list => { list.scrollTop = 700 }")
    tab.page.get_by_role("link", name="Experiment 30", exact=True).click()
    expect(tab.page.locator("h1")).to_have_text("Experiment 30")
    tab.back()
    expect(tab.page.get_by_role("link", name="Experiment 30", exact=True)).to_be_visible()
    wait_until(lambda: scroller.evaluate("list => list.scrollTop") >= 650, "the place")
    assert tab.errors == []
