"""The page's stream: how it reconnects, pauses and resumes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.producer import Producer
from ..support.proxy import proxied
from ..support.service import Service, metric, new_run, running

HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def post(client: httpx.Client, run: str, first: int, count: int) -> None:
    entries = [{"message": f"line {number}"} for number in range(first, first + count)]
    client.post(f"/runs/{run}/logs", json=entries).raise_for_status()


def expected(count: int) -> list[tuple[int, str]]:
    return [(seq, f"line {seq}") for seq in range(1, count + 1)]


@pytest.mark.long
def test_every_line_is_shown_once_through_two_restarts_and_a_network_outage(
    service: Service, tab: Tab
) -> None:
    run = new_run(service.client())
    producer = Producer(service.url, run, "p")
    with proxied(service) as proxy:
        tab.page.goto(f"{proxy.url}/#/runs/{run}")
        tab.expect_state("live")
        producer.start()
        for end in (service.terminate, service.kill):
            end()
            tab.expect_state("reconnecting in ")
            service.start()
            tab.expect_state("new")
        proxy.refusing = True
        proxy.cut()
        tab.expect_state("reconnecting in ")
        tab.page.wait_for_timeout(10_000)
        proxy.refusing = False
        tab.expect_state("caught up, ")
        producer.stopping = True
        producer.join(PATIENCE)
        assert producer.error is None
        service.client().post(f"/runs/{run}/complete").raise_for_status()
        tab.expect_state("ended")
        tab.expect_lines(producer.sent)
        assert tab.read() == [(number + 1, f"p {number}") for number in range(producer.sent)]


def test_a_page_whose_stream_is_refused_comes_back_later(tab: Tab, tmp_path: Path) -> None:
    with running(tmp_path, max_streams=1) as service:
        run = new_run(service.client())
        with service.client().stream("GET", "/events/experiments:runs"):
            tab.page.goto(f"{service.url}/#/runs/{run}")
            # without the service's word it would come back in at most 1.5 s
            state = tab.page.locator("#connection")
            expect(state).to_contain_text(re.compile(r"reconnecting in [123]\d s"))


@pytest.mark.long
def test_the_page_reconnects_after_any_response(service: Service, lone_tab: Tab) -> None:
    """An EventSource gives up for good after any response but 200 with its media type."""
    client = service.client()
    run = new_run(client)
    responses: list[dict[str, Any]] = [
        {"status": 503, "body": "no"},
        {"status": 404, "body": "a proxy's page"},
        {"status": 200, "content_type": "text/html", "body": "<h1>welcome</h1>"},
        {"status": 204},
    ]
    states: list[str] = []

    refused: list[dict[str, Any]] = []

    def respond(route: Route) -> None:
        # the page asks with HEAD why it was refused
        if route.request.method == "HEAD":
            route.fulfill(**refused[-1])
        elif responses:
            refused.append(responses.pop(0))
            route.fulfill(**refused[-1])
        else:
            route.continue_()

    lone_tab.page.expose_function("onState", lambda state: states.append(state))
    lone_tab.page.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
          const shown = document.getElementById("connection");
          new MutationObserver(() => onState(shown.textContent)).observe(shown, { childList: true });
        });"""
    )
    lone_tab.page.route("**/events?*", respond)
    lone_tab.page.goto(f"{service.url}/#/runs/{run}")
    lone_tab.expect_state("reconnecting in ")
    post(client, run, 1, 30)
    lone_tab.expect_state("live")
    assert responses == []
    lone_tab.expect_lines(30)
    assert lone_tab.read() == expected(30)
    assert any("reconnecting in 2 s" in state for state in states), states


def test_a_page_opened_while_the_service_is_away_loads_when_it_returns(
    service: Service, tab: Tab
) -> None:
    client = service.client()
    run = new_run(client)
    post(client, run, 1, 5)
    tab.page.goto(service.url)
    tab.expect_state("live")
    service.terminate()
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_state("reconnecting")
    service.start()
    tab.expect_lines(5)
    tab.expect_state("live")


def test_a_hidden_tab_closes_its_stream_and_catches_up_when_shown(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    post(client, run, 1, 3)
    tab.page.clock.install()
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(3)
    wait_until(lambda: metric(service, "athanor_subscribers") == 1, "its stream")
    tab.page.evaluate(HIDE, True)
    post(client, run, 4, 3)
    # the stream stays open for 30 s
    tab.expect_lines(6)
    tab.page.clock.fast_forward(31_000)
    tab.expect_state("paused")
    wait_until(lambda: metric(service, "athanor_subscribers") == 0, "no stream")
    post(client, run, 7, 10)
    assert tab.page.locator(".count").text_content() == "6 lines"
    tab.page.evaluate(HIDE, False)
    tab.expect_lines(16)
    tab.expect_state("live")
    post(client, run, 17, 1)
    tab.expect_lines(17)
    assert tab.read() == expected(17)
    tab.page.evaluate(HIDE, True)
    client.post(f"/runs/{run}/complete")
    expect(tab.page.locator(".head .pill")).to_have_text("completed")
    tab.page.clock.fast_forward(31_000)
    tab.page.evaluate(HIDE, False)
    tab.expect_state("ended")


def test_a_silent_stream_is_replaced(service: Service, lone_tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    lone_tab.page.clock.install()
    lone_tab.page.goto(f"{service.url}/#/runs/{run}")
    lone_tab.expect_state("live")
    post(client, run, 1, 3)
    lone_tab.expect_lines(3)
    with lone_tab.page.expect_request("**/events?*") as request:
        lone_tab.page.clock.fast_forward(100_000)
    assert "last_event_id=" in request.value.url
    wait_until(
        lambda: metric(service, "athanor_subscribers") == 1, "a new stream in place of the old one"
    )
    post(client, run, 4, 3)
    lone_tab.expect_lines(6)
    assert lone_tab.read() == expected(6)
    # a stream that brings events is kept
    responses = len(lone_tab.responses)
    for number in range(7, 12):
        lone_tab.page.clock.fast_forward(20_000)
        post(client, run, number, 1)
        lone_tab.expect_lines(number)
    assert len(lone_tab.responses) == responses


def test_the_page_reconnects_at_once_when_the_network_returns(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    tab.page.clock.install()
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_state("live")
    tab.page.context.set_offline(True)
    tab.expect_state("reconnecting in ")
    # after several failures the pause is long
    for _ in range(12):
        tab.page.clock.fast_forward(30_000)
    post(client, run, 1, 3)
    tab.page.clock.pause_at(tab.page.evaluate("Date.now()") / 1000 + 1)
    tab.page.context.set_offline(False)
    tab.expect_state("live")
    tab.expect_lines(3)
