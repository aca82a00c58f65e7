"""The page in a real Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from .follower import wait_until
from .service import Service, new_run

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser | None]:
    path = shutil.which("chromium")
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """A tab, with what it asked of the stream and what its console complained about."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answers: list[int] = []
        self.complaints: list[str] = []
        page.on("response", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _note(self, response: Any) -> None:
        if "/events/" in response.url:
            self.answers.append(response.status)

    def _hear(self, said: ConsoleMessage) -> None:
        if said.type == "error":
            self.complaints.append(said.text)

    @property
    def seqs(self) -> list[int]:
        return list(self.page.eval_on_selector_all(".log li", "all => all.map(li => +li.dataset.seq)"))


@pytest.fixture
def tab(browser: Browser | None, need: Callable[[bool, str], None]) -> Iterator[Tab]:
    need(browser is not None, "chromium")
    assert browser is not None
    context = browser.new_context(viewport={"width": 1200, "height": 750})
    page = context.new_page()
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield Tab(page)
    context.close()


def test_follows_a_run_to_its_end_and_stops(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json=[{"message": f"before {n}"} for n in range(3)])
    tab.page.goto(f"{service.url}/#/runs/{run}")
    expect(tab.page.locator("#connection")).to_have_text("live")
    client.post(f"/runs/{run}/progress", json={"current": 3, "total": 10, "message": "batch 3"})
    expect(tab.page.locator(".bar-text")).to_have_text("3 of 10 · batch 3")
    assert tab.page.locator("progress").evaluate("bar => bar.value / bar.max") == 0.3
    for n in range(5):
        client.post(f"/runs/{run}/logs", json={"message": f"line {n}", "level": "warn"})
        client.post(f"/runs/{run}/results", json={"key": "loss", "value": 1 / (n + 1), "step": n})
    expect(tab.page.locator(".log li")).to_have_count(8)
    expect(tab.page.locator(".tile strong")).to_have_text("0.20000")
    client.post(f"/runs/{run}/complete")
    expect(tab.page.locator(".head .pill")).to_have_text("completed")
    expect(tab.page.locator("#connection")).to_have_text("ended")
    wait_until(lambda: tab.page.evaluate("1") and tab.answers[-1] == 204, "the answer that ends it")
    assert tab.answers == [200, 204]
    assert tab.seqs == list(range(1, 9))
    # a client that came back would do it within its retry time, 3 s at most
    tab.page.wait_for_timeout(3500)
    assert tab.answers == [200, 204]
    assert tab.complaints == []


def test_has_every_line_once_after_a_restart_in_the_middle(service: Service, tab: Tab) -> None:
    run = new_run(service.client())
    path = f"/runs/{run}/logs"

    def post(first: int, count: int) -> None:
        body = "\n".join(json.dumps({"message": f"line {n}"}) for n in range(first, first + count))
        service.client().post(path, content=body, headers=NDJSON).raise_for_status()

    tab.page.goto(f"{service.url}/#/runs/{run}")
    expect(tab.page.locator("#connection")).to_have_text("live")
    post(0, 50)
    expect(tab.page.locator(".log li")).to_have_count(50)
    service.terminate()
    expect(tab.page.locator("#connection")).to_have_text("reconnecting")
    service.start()
    post(50, 50)
    expect(tab.page.locator(".log li")).to_have_count(100)
    service.kill()
    service.start()
    post(100, 50)
    service.client().post(f"/runs/{run}/complete")
    expect(tab.page.locator(".head .pill")).to_have_text("completed")
    expect(tab.page.locator(".log li")).to_have_count(150)
    assert tab.seqs == list(range(1, 151))


def test_overview_shows_what_happens_by_itself(service: Service, tab: Tab) -> None:
    tab.page.goto(service.url)
    expect(tab.page.locator("h2")).to_have_text("No experiment yet")
    client = service.client()
    client.put("/instances/digits", json={"name": "Digits", "description": "read by a machine"})
    expect(tab.page.locator("h2")).to_have_text("Digits")
    client.post("/instances/digits/runs", json={"id": "first"})
    expect(tab.page.locator(".runs .pill")).to_have_text("pending")
    client.post("/runs/first/start")
    client.post("/runs/first/progress", json={"current": 1, "total": 4})
    expect(tab.page.locator(".runs .bar-text")).to_have_text("1 of 4")
    client.post("/runs/first/fail", json={"error": "Traceback\nValueError: no digits"})
    expect(tab.page.locator(".runs .pill")).to_have_text("failed")
    expect(tab.page.locator(".runs")).to_contain_text("ValueError: no digits")
    tab.page.locator(".runs a").click()
    expect(tab.page.locator(".head .error")).to_contain_text("ValueError: no digits")
    tab.page.go_back()
    client.delete("/instances/digits")
    expect(tab.page.locator("h2")).to_have_text("No experiment yet")
    assert tab.complaints == []


def test_what_comes_from_a_run_is_text(service: Service, tab: Tab) -> None:
    client = service.client()
    hostile = [
        "<img src=x onerror='document.title=\"hacked\"'>",
        "<script>document.title='hacked'</script>",
        "\u202egnirts desrever\u2066",
        "nul \x00 and \u2028 and \ufeff and \x1b[31mred",
        "x" * 100_000,
    ]
    client.put("/instances/evil", json={"name": hostile[0]}).raise_for_status()
    client.post("/instances/evil/runs", json={"id": "run"})
    client.post("/runs/run/start")
    client.post("/runs/run/logs", json=[{"message": text} for text in hostile]).raise_for_status()
    client.post("/runs/run/results", json={"key": hostile[1], "value": {hostile[0]: 1}})
    tab.page.goto(f"{service.url}/#/runs/run")
    expect(tab.page.locator(".log li")).to_have_count(5)
    expect(tab.page.locator(".tile")).to_have_count(1)
    shown = tab.page.eval_on_selector_all(".log .message", "all => all.map(one => one.textContent)")
    assert shown == hostile
    assert tab.page.locator("h1").text_content() == hostile[0]
    assert tab.page.locator("main img, main script").count() == 0
    assert "hacked" not in tab.page.title()
    assert tab.complaints == []


def test_cancel_asks_once_and_shows_that_it_asked(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    tab.page.on("dialog", lambda dialog: dialog.accept())
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.page.get_by_role("button", name="Cancel").click()
    expect(tab.page.get_by_role("button", name="Cancelling…")).to_be_disabled()
    answer = client.post(f"/runs/{run}/logs", json={"message": "on my way out"}).json()
    assert answer["cancel_requested"] is True
    client.post(f"/runs/{run}/cancelled")
    expect(tab.page.locator(".head .pill")).to_have_text("cancelled")


def test_unknown_run_is_said_to_be_unknown(service: Service, tab: Tab) -> None:
    tab.page.goto(f"{service.url}/#/runs/nowhere")
    expect(tab.page.locator("main")).to_have_text("there is no run nowhere")
