"""The page in Chromium: a run of a million lines, one that grows by 5,000 lines per second, 500 runs.

The longest task is the browser's figure; a task of over 50 ms blocks input noticeably.
"""

from __future__ import annotations

import shutil
import time

from playwright.sync_api import Page, sync_playwright

from tests.support.browser import FLAGS
from tests.support.service import Service, new_run

from .harness import Figures, report, service_alone

LINES, SECONDS, RATE = 1_000_000, 60, 5_000
RUNS, TABLE_SECONDS = 500, 20
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({entryTypes: ["longtask"]});
"""


def measure() -> Figures:
    with service_alone() as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.add_init_script(WATCH)
        try:
            return {**million(service, page), **flood(service, page), **table(service, page)}
        finally:
            browser.close()


def million(service: Service, page: Page) -> Figures:
    client, run = service.client(), new_run(service.client())
    for first in range(1, LINES + 1, 10_000):
        body = "".join(f'{{"message": "line {n}"}}\n' for n in range(first, first + 10_000))
        client.post(f"/runs/{run}/logs", content=body, headers={"Content-Type": "application/x-ndjson"})
    page.goto(service.url)
    page.wait_for_selector(".experiments a")
    began = time.perf_counter()
    page.goto(f"{service.url}/#/runs/{run}")
    page.get_by_text(f"line {LINES}", exact=True).wait_for()
    opened = time.perf_counter() - began
    for share in (0.0, 0.5, 1.0, 0.25):
        page.locator(".viewport").evaluate(
            "(view, share) => { view.scrollTop = share * (view.scrollHeight - view.clientHeight) }", share
        )
        page.wait_for_function("() => !document.querySelector('.row.unknown:not([hidden])')")
    return {
        "1,000,000 lines: seconds to open": opened,
        "1,000,000 lines: heap, MiB": heap(page),
        "1,000,000 lines: longest task, ms": float(page.evaluate("window.longest")),
    }


def flood(service: Service, page: Page) -> Figures:
    client, run = service.client(), new_run(service.client())
    page.goto("about:blank")
    page.goto(f"{service.url}/#/runs/{run}")
    page.wait_for_selector(".viewport")
    delay = 0.0
    began = time.perf_counter()
    for number in range(SECONDS * 10):
        time.sleep(max(0.0, began + number / 10 - time.perf_counter()))
        first, count = number * RATE // 10 + 1, RATE // 10
        body = "".join(f'{{"message": "line {n}"}}\n' for n in range(first, first + count))
        client.post(f"/runs/{run}/logs", content=body, headers={"Content-Type": "application/x-ndjson"})
        if number % 50 == 49:
            posted = time.perf_counter()
            page.get_by_text(f"line {first + count - 1}", exact=True).wait_for()
            delay = max(delay, time.perf_counter() - posted)
    page.get_by_text(f"{SECONDS * RATE:,} lines", exact=True).wait_for()
    return {
        "5,000 lines/s for 60 s: longest delay, ms": delay * 1000,
        "5,000 lines/s for 60 s: longest task, ms": float(page.evaluate("window.longest")),
        "5,000 lines/s for 60 s: heap, MiB": heap(page),
    }


def table(service: Service, page: Page) -> Figures:
    """500 runs of one instance, of which 50 report progress and results."""
    client = service.client()
    instance = client.post("/instances", json={"name": "many"}).json()["id"]
    live = [f"many-{n}" for n in range(0, RUNS, 10)]
    for n in range(RUNS):
        settings = {f"k{key}": n if key < 15 else key for key in range(30)}
        metadata = {"name": f"run {n}", "config": {"lr": 10.0 ** -(n % 4), "seed": n, **settings}}
        client.post(f"/instances/{instance}/runs", json={"id": f"many-{n}", "metadata": metadata})
        client.post(f"/runs/many-{n}/start")
        keys = ("train/loss", "val/loss", "val/acc")
        points = [{"key": key, "value": 1 / (n + 1), "step": step} for key in keys for step in range(5)]
        client.post(f"/runs/many-{n}/results", json=points)
        if f"many-{n}" not in live:
            client.post(f"/runs/many-{n}/complete")
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{service.url}/#/instances/{instance}?sort=least.val/loss")
    page.get_by_text(f"{RUNS} runs", exact=True).wait_for()
    figures = {f"{RUNS} runs: seconds to open": time.perf_counter() - began}
    figures[f"{RUNS} runs: longest task to open, ms"] = longest(page)
    until = time.perf_counter() + TABLE_SECONDS
    number = 0
    while time.perf_counter() < until:
        for run in live:
            number += 1
            client.post(f"/runs/{run}/progress", json={"current": number % 100, "total": 100})
            client.post(
                f"/runs/{run}/results", json={"key": "val/loss", "value": 1 / number, "step": number}
            )
    figures[f"{RUNS} runs, {len(live)} live: longest task, ms"] = longest(page)
    for top in range(0, RUNS * 30, 600):
        page.locator(".grid-scroll").evaluate("(root, top) => { root.scrollTop = top }", top)
    figures[f"{RUNS} runs: longest task of scrolling, ms"] = longest(page)
    for text in ("lr<0.05", "status:running loss<1", ""):
        page.get_by_label("filter runs").fill(text)
        page.wait_for_timeout(500)
    figures[f"{RUNS} runs: longest task of filtering, ms"] = longest(page)
    return figures


def longest(page: Page) -> float:
    """The longest task since the last call."""
    page.wait_for_timeout(1000)
    return float(
        page.evaluate("() => { const found = window.longest; window.longest = 0; return found; }")
    )


def heap(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1024**2


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure, default_repeats=1)
