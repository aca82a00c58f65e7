"""Use of the page: contrast, names, small screens, keyboard, notifications, curves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from ..support.browser import Tab
from ..support.service import Service, new_run

Tabs = Callable[..., Tab]

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const background = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!text || !node.checkVisibility() || node.matches("option, .skip, :disabled")) continue;
    const style = getComputedStyle(node);
    const [one, other] = [light(parse(style.color)), light(background(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5 || style.opacity < 1) poor.push([node.className || node.tagName, ratio.toFixed(2)]);
  }
  return poor;
}"""
UNNAMED = """() => [...document.querySelectorAll("button, input, select, a, canvas, progress, .viewport")]
  .filter((node) => node.checkVisibility() && !node.ariaHidden)
  .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.title || node.labels?.length))
  .map((node) => node.outerHTML.slice(0, 200))"""
OVERFLOW = """() => {
  const [page, main] = [document.documentElement, document.querySelector("main")];
  return page.scrollWidth - innerWidth + main.scrollWidth - main.clientWidth;
}"""


@pytest.fixture
def experiment(shared_service: Service, client: httpx.Client) -> str:
    """An instance with a completed, a failed and a running run."""
    name = "two rings"
    configuration = {"lr": 0.1, "optimizer": {"name": "sgd"}}
    # a name and a description that can't be broken at a space
    long = {"name": "W" * 200, "description": "W" * 500}
    client.post("/instances", json=long).raise_for_status()
    instance = client.post("/instances", json={"name": name, "configuration": configuration}).json()["id"]
    for number, end in enumerate(("complete", "fail", None)):
        metadata = {"name": f"run {number}", "config": {"lr": number / 10}}
        run = client.post(f"/instances/{instance}/runs", json={"metadata": metadata}).json()["id"]
        client.post(f"/runs/{run}/start")
        levels = ["debug", "info", "warn", "error"]
        lines = [
            {
                "message": f"epoch {n}: a line that is long enough for a phone to cut it off",
                "level": levels[n % 4],
            }
            for n in range(60)
        ]
        client.post(
            f"/runs/{run}/logs", json=[*lines, {"message": "with data", "metadata": {"norm": 0.1}}]
        )
        points = [{"key": "loss", "value": 1 / (n + 1 + number), "step": n * 10} for n in range(300)]
        values = [{"key": "confusion", "value": {"true": [1, 2], "false": {"deep": [3]}}, "step": 1}]
        client.post(f"/runs/{run}/results", json=[*points, *values]).raise_for_status()
        if end == "fail":
            error = "Traceback (most recent call last):\n  File x\nValueError: loss became NaN"
            client.post(f"/runs/{run}/fail", json={"error": error}).raise_for_status()
        elif end:
            client.post(f"/runs/{run}/{end}").raise_for_status()
        else:
            client.post(f"/runs/{run}/progress", json={"current": 3, "total": 10, "message": "batch 3"})
    return str(instance)


def views(service: Service, client: httpx.Client, instance: str) -> dict[str, str]:
    """The address of each view, by name."""
    runs = [run["id"] for run in client.get(f"/instances/{instance}/runs").json()["runs"]]
    return {
        "overview": f"{service.url}/",
        "runs": f"{service.url}/#/?view=runs",
        "instance": f"{service.url}/#/instances/{instance}",
        "groups": f"{service.url}/#/instances/{instance}?group=config.lr&open=0.1"
        "&plot=config.lr&plot=took",
        "fault": f"{service.url}/#/instances/{instance}?filter=lr<x",
        "nothing": f"{service.url}/#/instances/{instance}?filter=nothing",
        "missing": f"{service.url}/#/instances/nowhere",
        "comparison": f"{service.url}/#/instances/{instance}?compare={','.join(runs)}",
        "running": f"{service.url}/#/runs/{runs[0]}",
        "failed": f"{service.url}/#/runs/{runs[1]}",
        "line": f"{service.url}/#/runs/{runs[1]}/logs?line=61",
        "results": f"{service.url}/#/runs/{runs[2]}/results",
    }


def in_each_view(tab: Tab, addresses: dict[str, str], script: str) -> dict[str, Any]:
    """The result of `script` in each view, run after the view is drawn."""
    found = {}
    marks = {
        **{
            "overview": ".experiments a",
            "runs": ".grid-row",
            "instance": ".grid-row",
            "fault": ".fault mark",
        },
        **{"groups": ".plot-point", "nothing": ".nothing", "missing": "h1"},
        **{"comparison": ".chart", "results": ".chart", "line": ".detail .whole"},
    }
    for name, address in addresses.items():
        tab.page.goto("about:blank")
        tab.page.goto(address)
        tab.page.locator(marks.get(name, "h1")).first.wait_for()
        if name in ("running", "failed", "line"):
            assert tab.rows
        found[name] = tab.page.evaluate(script)
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_contrasts_with_its_background(
    scheme: str, shared_service: Service, client: httpx.Client, experiment: str, tabs: Tabs
) -> None:
    """By 4.5 to 1, as WCAG 2.2 requires in criterion 1.4.3."""
    tab = tabs(color_scheme=scheme)
    found = in_each_view(tab, views(shared_service, client, experiment), CONTRAST)
    assert not any(found.values()), found


def test_the_dark_scheme_applies_before_the_style_is_loaded(shared_service: Service, tabs: Tabs) -> None:
    """The background is dark even without the page's style and code, so it does not flash white."""
    tab = tabs(color_scheme="dark")
    tab.page.route(re.compile(r"static/.*\.(css|js)"), lambda route: route.abort())
    tab.page.goto(shared_service.url)
    text = tab.page.evaluate("getComputedStyle(document.body).color")
    # Chromium's default text colour on its default dark background
    assert text == "rgb(255, 255, 255)"


def test_every_control_has_an_accessible_name(
    shared_service: Service, client: httpx.Client, experiment: str, tab: Tab
) -> None:
    found = in_each_view(tab, views(shared_service, client, experiment), UNNAMED)
    assert not any(found.values()), found


def test_the_page_fits_on_a_phone(
    shared_service: Service, client: httpx.Client, experiment: str, tabs: Tabs
) -> None:
    tab = tabs(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    found = in_each_view(tab, views(shared_service, client, experiment), OVERFLOW)
    assert found == dict.fromkeys(found, 0)
    tab.page.get_by_role("tab", name="Logs").tap()
    tab.page.locator(".row:not([hidden])").first.tap()
    expect(tab.page.locator(".detail .whole")).to_contain_text("cut it off")


def test_the_keyboard_alone_controls_a_run_view(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    entries = [{"message": f"line {number}"} for number in range(1, 501)]
    client.post(f"/runs/{run}/logs", json=entries).raise_for_status()
    client.post(f"/runs/{run}/results", json={"key": "loss", "value": 1})
    press = tab.page.keyboard.press
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(500)
    follow = tab.page.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    press("g")
    assert tab.rows[0] == (1, "line 1")
    expect(follow).to_have_attribute("aria-pressed", "false")
    press("G")
    assert tab.rows[-1] == (500, "line 500")
    expect(follow).to_have_attribute("aria-pressed", "true")
    press("f")
    expect(follow).to_have_attribute("aria-pressed", "false")
    client.post(f"/runs/{run}/logs", json={"message": "line 501"})
    expect(tab.page.get_by_role("button", name="1 new ↓")).to_be_visible()
    press("f")
    assert tab.rows[-1] == (501, "line 501")
    detail = tab.page.get_by_role("region", name="the line")
    for key, seq in {"j": 501, "k": 500}.items():
        press(key)
        expect(detail).to_contain_text(f"line {seq}")
        expect(tab.page.locator(".row.selected")).to_contain_text(f"line {seq}")
    assert tab.page.url.endswith("?line=500")
    press("Escape")
    expect(detail).to_be_hidden()
    press("/")
    tab.page.keyboard.type("line 33")
    expect(tab.page.locator(".count")).to_have_text("11 of 501 lines")
    press("Escape")
    tab.expect_lines(501)
    tab.page.get_by_role("tab", name="Logs").focus()
    press("ArrowRight")
    expect(tab.page.get_by_role("tab", name=re.compile("Results"))).to_be_focused()
    expect(tab.page.get_by_role("tabpanel", name=re.compile("Results"))).to_be_visible()
    expect(tab.page.locator(".tile")).to_have_count(1)
    press("1")
    expect(tab.page.get_by_role("tabpanel", name="Logs")).to_be_visible()
    press("?")
    expect(tab.page.get_by_role("dialog", name="keyboard shortcuts")).to_be_visible()
    press("Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    assert tab.errors == []


def test_title_icon_and_a_requested_notification_show_the_runs_status(service: Service, tab: Tab) -> None:
    tab.page.context.grant_permissions(["notifications"])
    tab.page.add_init_script(
        """window.shown = [];
        window.Notification = class { constructor(title, { body }) { shown.push([title, body]); }
          static async requestPermission() { return "granted"; } };"""
    )
    client = service.client()
    icon = tab.page.locator("link[rel=icon]")
    for asked in (False, True):
        run = new_run(client)
        tab.page.goto(f"{service.url}/#/runs/{run}")
        expect(tab.page).to_have_title(f"running · {run}")
        running = icon.get_attribute("href")
        if asked:
            tab.page.get_by_role("button", name="Notify me").click()
            expect(tab.page.get_by_role("button", name="Notify me")).to_have_attribute(
                "aria-pressed", "true"
            )
        tab.expect_state("live")
        client.post(f"/runs/{run}/fail", json={"error": "no more"})
        expect(tab.page).to_have_title(f"failed · {run}")
        assert icon.get_attribute("href") != running
        assert tab.page.evaluate("shown") == ([[f"{run} is failed", "test"]] if asked else [])


def test_links_from_the_overview_lead_to_the_error_the_curve_and_the_downloads(
    shared_service: Service, client: httpx.Client, experiment: str, tab: Tab
) -> None:
    tab.page.goto(shared_service.url)
    tab.page.locator(f'a[href="#/instances/{experiment}"]').click()
    failed = tab.page.get_by_role("grid", name="runs").get_by_role("row", name="failed")
    expect(failed).to_contain_text("ValueError: loss became NaN")
    failed.click()
    expect(tab.page.get_by_label("the run's error")).to_contain_text("ValueError: loss became NaN")
    assert tab.rows[-1] == (61, "with data")
    tab.page.get_by_role("tab", name="Results").click()
    expect(tab.page.get_by_role("application", name="curve of loss")).to_be_visible()
    for form in ("csv", "ndjson", "json"):
        with tab.page.expect_download() as download:
            tab.page.get_by_label("download results").select_option(form)
        text = download.value.path().read_text()
        if form == "csv":
            assert len(text.splitlines()) == 302
        else:
            found = (
                json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
            )
            assert [entry["seq"] for entry in found] == list(range(1, 302))
            assert found[299]["value"] == 1 / 301
