"""The Results tab in Chromium: what its charts show, live and after restarts, on any numbers."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from ..support import plain
from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import Service, new_run

KEYS = ["train/loss", "train/acc", "val/loss", "lr"]
OPENS, RESTART_EVERY = 8, 4
TALL = {"width": 1400, "height": 1600}

Tabs = Callable[..., Tab]
CHARTS = """() => Object.fromEntries([...document.querySelectorAll(".chart")].map((chart) =>
  [chart.getAttribute("aria-label"), {...chart.dataset}]))"""


class ResultProducer(threading.Thread):
    """Posts results of `KEYS` until `stopping`, unless `paused`; again until they are acknowledged."""

    def __init__(self, service: Service, run: str) -> None:
        super().__init__(daemon=True)
        self.service = service
        self.path = f"/runs/{run}/results"
        self.sent = 0
        self.stopping = False
        self.running = threading.Event()
        self.idle = threading.Event()

    def run(self) -> None:
        with plain.client() as client:
            while not self.stopping:
                if not self.running.is_set():
                    self.idle.set()
                    self.running.wait(0.05)
                    continue
                self.post(client, random.Random(self.sent).randint(1, 60))

    def post(self, client: httpx.Client, count: int) -> None:
        body = [self._result(number) for number in range(self.sent, self.sent + count)]
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        while not self.stopping:
            try:
                response = client.post(self.service.url + self.path, json=body, headers=headers)
            except httpx.TransportError:
                threading.Event().wait(0.01)
                continue
            if response.status_code == 201:
                self.sent += count
                return

    def _result(self, number: int) -> dict[str, Any]:
        return {"key": KEYS[number % len(KEYS)], "value": number, "step": number // len(KEYS)}

    def pause(self) -> None:
        """Until everything that was sent is acknowledged."""
        self.idle.clear()
        self.running.clear()
        assert self.idle.wait(PATIENCE)


def charts_of(page: Page) -> dict[str, dict[str, str]]:
    """What each chart says that it shows."""
    found: dict[str, dict[str, str]] = page.evaluate(CHARTS)
    return found


def expect_all_points(page: Page, producer: ResultProducer, client: httpx.Client, run: str) -> None:
    """Every chart has every point of its key once: their number, and their sum."""
    metrics = {one["key"]: one for one in client.get(f"/runs/{run}/metrics").json()["metrics"]}
    assert sum(one["points"] for one in metrics.values()) == producer.sent
    sums = {key: sum(range(at, producer.sent, len(KEYS))) for at, key in enumerate(KEYS)}

    def is_complete() -> bool:
        charts = charts_of(page)
        return all(
            key in charts
            and charts[key].get("points") == str(metrics[key]["points"])
            and abs(float(charts[key]["means"]) * metrics[key]["points"] - sums[key]) < 0.4
            for key in KEYS
        )

    try:
        wait_until(is_complete, "every point", 20)
    except AssertionError:
        shown = {key: (charts_of(page).get(key), metrics[key]["points"], sums[key]) for key in KEYS}
        raise AssertionError(f"the page does not show every point once: {shown}") from None


def open_and_compare(service: Service, tab: Tab, opens: int, restart_every: int, seed: int) -> None:
    chance = random.Random(seed)
    client = service.client()
    run = new_run(client)
    producer = ResultProducer(service, run)
    producer.post(client, 4000)
    address = f"{service.url}/#/runs/{run}/results"
    producer.running.set()
    producer.start()
    try:
        wait_until(lambda: producer.sent > 4000, "a busy run")
        for number in range(opens):
            page = tab.another(address).page
            page.wait_for_timeout(chance.random() * 700)
            if number % restart_every == restart_every - 1:
                service.kill()
                service.start()
                page.wait_for_timeout(chance.random() * 700)
            producer.pause()
            expect_all_points(page, producer, client, run)
            producer.running.set()
            page.close()
    finally:
        producer.stopping = True
        producer.running.set()
        producer.join(PATIENCE)


def test_a_page_opened_while_results_come_shows_each_of_them_once(service: Service, tabs: Tabs) -> None:
    tab = tabs(viewport=TALL)
    open_and_compare(service, tab, OPENS, RESTART_EVERY, seed=18)
    assert tab.errors == []


RANGES = """async (seed) => {
  const { ticks, logTicks, timeTicks, labels, widen } = await import("/static/results/ticks.js");
  const { Scale } = await import("/static/results/scale.js");
  let state = seed;
  const random = () => ((state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32);
  const anyNumber = () => {
    const bits = new DataView(new ArrayBuffer(8));
    bits.setUint32(0, random() * 2 ** 32);
    bits.setUint32(4, random() * 2 ** 32);
    const number = bits.getFloat64(0);
    return Number.isFinite(number) ? number : 0;
  };
  const pairs = [
    [0.3, 0.1 + 0.2], [1, 1 + 2 ** -52], [0, 0], [5, 5], [-1e308, 1e308], [1e308, 1.7976931348623157e308],
    [-1.7976931348623157e308, 1.7976931348623157e308], [0, 5e-324], [5e-324, 1e-323], [1e-300, 1],
    [1.7e18, 1.7e18 + 256], [1764129600123456789, 1764129600123457789], [-0, 0],
    [9007199254740991, 9007199254740992],
  ];
  const usual = () => (random() - 0.5) * 10 ** Math.floor(random() * 40 - 20);
  const near = (number) => number * (1 + (random() - 0.5) * 2 ** -Math.floor(random() * 53));
  for (let at = 0; at < 3000; at += 1) {
    const one = at % 3 ? usual() : anyNumber();
    const other = at % 5 ? usual() : near(one);
    pairs.push([Math.min(one, other), Math.max(one, other)]);
  }
  const wrong = [];
  const check = (pair, what, scale, found) => {
    const isRising = found.every((tick, at) => at === 0 || tick > found[at - 1]);
    const isInside = found.every((tick) => tick >= scale.low && tick <= scale.high);
    const shares = found.map((tick) => scale.share(tick));
    const { texts } = labels(found);
    const isApart = new Set(texts).size === texts.length;
    const isPlaced = shares.every((share, at) =>
      share >= -1e-9 && share <= 1 + 1e-9 && (at === 0 || share > shares[at - 1]));
    if (found.length < 3 || found.length > 40 || !isRising || !isInside || !isApart || !isPlaced) {
      wrong.push([what, pair, found, texts, shares]);
    }
  };
  for (const [low, high] of pairs) {
    for (const most of [3, 5, 12]) {
      for (const pad of [0, 0.05]) {
        const scale = new Scale(low, high, { pad });
        if (scale.low > low || scale.high < high) wrong.push(["range", low, high, scale.low, scale.high]);
        check([low, high], "linear", scale, scale.ticks(most));
      }
      if (low > 0) {
        const scale = new Scale(low, high, { log: true, pad: 0.05 });
        check([low, high], "log", scale, scale.ticks(most));
      }
      if (low >= -1e12 && high <= 1e12) {
        const scale = new Scale(low, high);
        check([low, high], "time", scale, timeTicks(scale.low, scale.high, most));
        check([low, high], "clock", scale, timeTicks(scale.low, scale.high, most, 19800));
      }
    }
  }
  return [pairs.length, wrong.slice(0, 5), wrong.length];
}"""


@pytest.mark.parametrize("seed", [1, 2])
def test_every_range_has_three_ticks_or_more_with_labels_that_differ(
    shared_service: Service, tab: Tab, seed: int
) -> None:
    tab.page.goto(shared_service.url)
    pairs, wrong, count = tab.page.evaluate(RANGES, seed)
    assert pairs > 3000
    assert count == 0, wrong


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
SUM = """(key) => {
  const { points, means } = document.querySelector(`.chart[aria-label="${key}"]`)?.dataset ?? {};
  return [Number(points), Math.round(points * means)];
}"""


def numbers(first: int, count: int) -> list[dict[str, Any]]:
    return [{"key": "loss", "value": n, "step": n} for n in range(first, first + count)]


def test_nothing_is_missing_or_double_after_a_pause(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    client.post(f"/runs/{run}/results", json=numbers(0, 3000)).raise_for_status()
    tab.page.clock.install()
    tab.page.goto(f"{service.url}/#/runs/{run}/results")
    tab.expect_state("live")

    def expect_first(count: int) -> None:
        def is_shown() -> bool:
            # what is drawn late waits for the page's own clock
            tab.page.clock.run_for(300)
            return bool(tab.page.evaluate(SUM, "loss") == [count, sum(range(count))])

        wait_until(is_shown, f"{count} points", 30)

    expect_first(3000)
    tab.page.evaluate(HIDE, True)
    tab.page.clock.fast_forward(31_000)
    tab.expect_state("paused")
    client.post(f"/runs/{run}/results", json=numbers(3000, 2000)).raise_for_status()
    tab.page.evaluate(HIDE, False)
    tab.expect_state("live")
    client.post(f"/runs/{run}/results", json=numbers(5000, 100)).raise_for_status()
    expect_first(5100)
    assert tab.errors == []
