"""The charts of a run in Chromium: 40 keys of 25,000 points, 3,000 keys, and 4,000 points per second.

The longest task is the browser's figure; a task of over 50 ms blocks input noticeably. Another page of
the same browser, which does nothing, has the machine's own longest delay beside it.
"""

from __future__ import annotations

import json
import math
import shutil
import threading
import time

from playwright.sync_api import Page, Response, sync_playwright

from tests.support.browser import FLAGS
from tests.support.service import Service, new_run

from .harness import Figures, report, service_alone
from .page import WATCH

KEYS, POINTS, MANY, SECONDS, RATE = 40, 25_000, 3_000, 60, 100
NDJSON = {"Content-Type": "application/x-ndjson"}
SLIDE = """async () => {
  const slider = document.querySelector(".tools input[type=range]");
  const times = [];
  for (let at = 1; at <= 20; at += 1) {
    slider.value = at * 0.045;
    const began = performance.now();
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    times.push(performance.now() - began);
    await new Promise((done) => setTimeout(done, 100));
  }
  return times.sort((one, other) => one - other)[10];
}"""
IDLE = """() => {
  window.delay = 0;
  let before = performance.now();
  setInterval(() => {
    window.delay = Math.max(window.delay, performance.now() - before - 20);
    before = performance.now();
  }, 20);
}"""


def measure() -> Figures:
    with service_alone() as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script(WATCH)
        idle = browser.new_page()
        try:
            return {**deep(service, page), **wide(service, page), **live(service, page, idle)}
        finally:
            browser.close()


def lines(keys: int, first: int, count: int) -> str:
    """Points of `count` steps of each key, as NDJSON."""
    return "\n".join(
        json.dumps({"key": f"group{key // 10}/metric-{key}", "value": noisy(key, step), "step": step})
        for step in range(first, first + count)
        for key in range(keys)
    )


def noisy(key: int, step: int) -> float:
    return math.exp(-step / 9000) + key % 7 + step % 13 / 50


def fill(service: Service, run: str, keys: int, points: int) -> None:
    client, part = service.client(timeout=120), max(1, 10_000 // keys)
    for first in range(0, points, part):
        body = lines(keys, first, min(part, points - first))
        client.post(f"/runs/{run}/results", content=body, headers=NDJSON).raise_for_status()


def opened(service: Service, page: Page, run: str, name: str) -> Figures:
    """Seconds until the first chart is drawn, the bytes that it took, and the longest task."""
    sizes: list[int] = []

    def count(response: Response) -> None:
        if f"/runs/{run}/" in response.url and "/events" not in response.url:
            sizes.append(int(response.headers.get("content-length", 0)))

    page.goto(service.url)
    page.wait_for_selector(".news-list a")
    page.on("response", count)
    began = time.perf_counter()
    page.goto("about:blank")
    page.goto(f"{service.url}/#/runs/{run}/results")
    page.wait_for_selector(".chart[data-points]")
    first = time.perf_counter() - began
    page.wait_for_timeout(2000)
    page.remove_listener("response", count)
    return {
        f"{name}: seconds to the first chart": first,
        f"{name}: kB": sum(sizes) / 1000,
        f"{name}: longest task, ms": float(page.evaluate("window.longest")),
    }


def deep(service: Service, page: Page) -> Figures:
    run, name = new_run(service.client()), f"{KEYS} keys of {POINTS:,} points"
    fill(service, run, KEYS, POINTS)
    return {
        **opened(service, page, run, name),
        f"{name}: a move of the slider, median, ms": float(page.evaluate(SLIDE)),
    }


def wide(service: Service, page: Page) -> Figures:
    run, name = new_run(service.client()), f"{MANY:,} keys"
    fill(service, run, MANY, 20)
    figures = opened(service, page, run, name)
    page.evaluate("window.longest = 0")
    for _ in range(40):
        page.locator("#panel-results").evaluate("panel => panel.scrollBy(0, 2500)")
        page.wait_for_timeout(60)
    figures[f"{name}: longest task while scrolling, ms"] = float(page.evaluate("window.longest"))
    return figures


def live(service: Service, page: Page, idle: Page) -> Figures:
    run, name = new_run(service.client()), f"{KEYS} keys, {RATE} steps/s for {SECONDS} s"
    fill(service, run, KEYS, 200)
    opened(service, page, run, name)
    page.evaluate("window.longest = 0")
    idle.evaluate(IDLE)

    def produce() -> None:
        client = service.client()
        began = time.perf_counter()
        for number in range(SECONDS * 10):
            body = lines(KEYS, 200 + number * RATE // 10, RATE // 10)
            time.sleep(max(0.0, began + number / 10 - time.perf_counter()))
            client.post(f"/runs/{run}/results", content=body, headers=NDJSON).raise_for_status()

    producer = threading.Thread(target=produce)
    producer.start()
    while producer.is_alive():
        page.wait_for_timeout(200)
    whole = 200 + SECONDS * RATE
    page.wait_for_selector(f".chart[data-points='{whole}']")
    return {
        f"{name}: longest task, ms": float(page.evaluate("window.longest")),
        f"{name}: longest delay of an idle page, ms": float(idle.evaluate("window.delay")),
        f"{name}: points of the first chart": float(
            page.locator(".chart").first.get_attribute("data-points") or 0
        ),
    }


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure, default_repeats=1)
