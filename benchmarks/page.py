"""The page in Chromium: a run of a million lines, and one that grows by 5,000 lines per second.

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
            return {**million(service, page), **flood(service, page)}
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


def heap(page: Page) -> float:
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    return float(session.send("Runtime.getHeapUsage")["usedSize"]) / 1024**2


if __name__ == "__main__":
    report(__doc__.splitlines()[0], measure, default_repeats=1)
