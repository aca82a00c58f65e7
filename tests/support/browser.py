"""Fixtures: tabs of the system's Chromium."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from .patience import PATIENCE

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESK = {"width": 1200, "height": 750}


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
    """A tab; `responses` has the stream's status codes, and `errors` those of the console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.responses: list[int] = []
        self.errors: list[str] = []
        page.on("response", self._on_response)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._on_console)

    def _on_response(self, response: Any) -> None:
        if "/events?" in response.url:
            self.responses.append(response.status)

    def _on_console(self, message: ConsoleMessage) -> None:
        # the browser reports a 401 of the login, and its absence
        if message.type == "error" and not message.location["url"].endswith("/login"):
            self.errors.append(message.text)

    @property
    def rows(self) -> list[tuple[int, str]]:
        """The visible lines as (seq, text); waits until all of them are loaded and drawn."""
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        found = self.page.wait_for_function(
            """() => {
              const rows = [...document.querySelectorAll('.row:not([hidden])')];
              if (!rows.length || rows.some((row) => row.matches('.unknown'))) return null;
              const text = (row) => row.querySelector('.message').textContent;
              return rows.map((row) => [+row.dataset.seq, text(row)]);
            }"""
        )
        return [(seq, text) for seq, text in found.json_value()]

    def read(self) -> list[tuple[int, str]]:
        """Every line, from the first to the last, by paging down."""
        self.page.locator(".viewport").focus()
        self.page.keyboard.press("Home")
        read: dict[int, str] = {}
        while True:
            before = len(read)
            read |= dict(self.rows)
            if len(read) == before:
                return sorted(read.items())
            self.page.keyboard.press("PageDown")

    def back(self) -> None:
        """Go back in the history; the caller waits for what it expects there.

        Playwright's `go_back` takes any change of the address for its end, that of a view too.
        """
        self.page.evaluate("() => { setTimeout(() => history.back()) }")

    def expect_lines(self, count: int) -> None:
        word = "line" if count == 1 else "lines"
        expect(self.page.locator(".count")).to_have_text(f"{count:,} {word}")

    def another(self, address: str) -> Tab:
        """One more tab of the same browser."""
        other = Tab(self.page.context.new_page())
        other.page.set_default_timeout(PATIENCE * 1000)
        other.page.goto(address)
        return other

    def expect_state(self, text: str) -> None:
        """Wait until the page shows this state of its connection."""
        expect(self.page.locator("#connection")).to_contain_text(text)


@pytest.fixture
def tab(tabs: Callable[..., Tab]) -> Tab:
    return tabs()


@pytest.fixture
def lone_tab(tab: Tab) -> Tab:
    """A tab of a browser without shared workers: its stream, and its stream's clock, are its own."""
    tab.page.add_init_script("delete window.SharedWorker")
    return tab


@pytest.fixture
def tabs(browser: Browser | None, need: Callable[[bool, str], None]) -> Iterator[Callable[..., Tab]]:
    """Makes tabs, each in its own browser context; takes Playwright's options for contexts."""
    need(browser is not None, "chromium")
    assert browser is not None
    contexts = []

    def make(**options: Any) -> Tab:
        context = browser.new_context(**{"viewport": DESK, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        return Tab(page)

    yield make
    for context in contexts:
        context.close()
