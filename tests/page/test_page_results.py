"""The Results tab in Chromium: what its charts show, live and after restarts, on any numbers."""

from __future__ import annotations

import json
import random
import re
import threading
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from ..support.browser import Tab
from ..support.follower import wait_until
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
        with httpx.Client(timeout=30) as client:
            while not self.stopping:
                if not self.running.is_set():
                    self.idle.set()
                    self.running.wait(0.05)
                    continue
                self._post(client, random.Random(self.sent).randint(1, 60))

    def _post(self, client: httpx.Client, count: int) -> None:
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
        assert self.idle.wait(60)


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
    address = f"{service.url}/#/runs/{run}/results"
    producer.running.set()
    producer.start()
    try:
        wait_until(lambda: producer.sent > 5000, "a busy run")
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
        producer.join(30)


def test_a_page_opened_while_results_come_shows_each_of_them_once(service: Service, tabs: Tabs) -> None:
    tab = tabs(viewport=TALL)
    open_and_compare(service, tab, OPENS, RESTART_EVERY, seed=18)
    assert tab.errors == []
