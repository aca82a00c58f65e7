"""The page before a service that wants a token: the login, links with a token, rights, all tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import expect

from ..support import plain
from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service, new_run, running

# characters that an address would have to encode
TOKEN = "wr+te&/%me=1-of-the-tests"
READ_TOKEN = "read-only-of-the-tests"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Service]:
    """A service with a token for everything, and one for reading."""
    with running(tmp_path, token=TOKEN, read_token=READ_TOKEN) as service:
        yield service


@pytest.fixture
def writer(guarded: Service) -> httpx.Client:
    return bearer(guarded)


def bearer(service: Service, token: str = TOKEN) -> httpx.Client:
    return service.client(headers={"Authorization": f"Bearer {token}"})


def streams(client: httpx.Client) -> float:
    found = re.search(r"^athanor_subscribers (\S+)$", client.get("/metrics").text, re.MULTILINE)
    assert found is not None
    return float(found[1])


def expect_login(tab: Tab) -> None:
    expect(tab.page.get_by_label("Token")).to_be_focused()
    tab.expect_state("not logged in")
    expect(tab.page.get_by_role("button", name="Log out")).to_be_hidden()


def enter(tab: Tab, token: str) -> None:
    """By the keyboard alone."""
    expect(tab.page.get_by_label("Token")).to_be_focused()
    tab.page.keyboard.type(token)
    tab.page.keyboard.press("Enter")


def test_the_login_shows_the_wanted_run_in_all_tabs_and_log_out_hides_it(
    guarded: Service, writer: httpx.Client, tab: Tab
) -> None:
    run = new_run(writer)
    writer.post(f"/runs/{run}/logs", json={"message": "secret"})
    tab.page.goto(f"{guarded.url}/#/runs/{run}")
    expect_login(tab)
    other = tab.another(guarded.url)
    expect_login(other)
    field = tab.page.get_by_label("Token")
    assert field.get_attribute("type") == "password"
    assert field.get_attribute("autocomplete") == "current-password"
    tab.page.bring_to_front()
    enter(tab, "wrong")
    expect(tab.page.locator("[aria-live=assertive]")).to_have_text("This token is not valid.")
    assert streams(writer) == 0
    enter(tab, TOKEN)
    tab.expect_lines(1)
    assert tab.page.url == f"{guarded.url}/#/runs/{run}"
    for each in (tab, other):
        each.expect_state("live")
        expect(each.page.get_by_role("button", name="Log out")).to_have_attribute("title", "token")
    expect(other.page.locator(".pill.running").first).to_be_visible()
    assert streams(writer) == 1
    cookies = tab.page.context.cookies()
    assert [cookie["httpOnly"] for cookie in cookies] == [True]
    other.page.get_by_role("button", name="Log out").click()
    for each in (tab, other):
        expect_login(each)
        assert "secret" not in each.page.content()
    wait_until(lambda: streams(writer) == 0, "no stream")
    assert tab.page.context.cookies() == []


def test_a_link_with_a_token_logs_in_and_the_token_leaves_the_address(
    guarded: Service, writer: httpx.Client, tab: Tab
) -> None:
    run = new_run(writer)
    requested: list[str] = []
    tab.page.on("request", lambda request: requested.append(request.url))
    tab.page.add_init_script(
        """window.seen = [];
        const replace = history.replaceState.bind(history);
        history.replaceState = (...args) => {
          window.seen.push(document.scripts.length);
          replace(...args);
        };"""
    )
    tab.page.goto(f"{guarded.url}/#token={quote(TOKEN, safe='')}&to=/runs/{run}")
    tab.expect_state("live")
    assert tab.page.url == f"{guarded.url}/#/runs/{run}"
    # the document's first script took it out, before the others were there
    assert tab.page.evaluate("seen[0]") == 1
    # opened in a tab that shows the page already, with the wrong token at first
    tab.page.get_by_role("button", name="Log out").click()
    expect_login(tab)
    tab.page.evaluate("location.hash = '#token=wrong&to=//example.org/'")
    expect(tab.page.locator("[aria-live=assertive]")).to_have_text("This token is not valid.")
    tab.page.evaluate(f"location.hash = '#token={READ_TOKEN}'")
    tab.expect_state("live")
    assert tab.page.url == f"{guarded.url}/#/"
    expect(tab.page.get_by_role("button", name="Log out")).to_have_attribute("title", "read token")
    # the history has the addresses without the tokens
    for address in (f"{guarded.url}/#//example.org/", f"{guarded.url}/#/runs/{run}", "about:blank"):
        tab.back()
        expect(tab.page).to_have_url(address)
    assert not any("token=" in url or quote(TOKEN, safe="") in url for url in requested)
    assert TOKEN not in guarded.log.read_text()
    assert tab.errors == []


def test_a_new_token_ends_the_streams_and_every_tab_asks_for_it(
    guarded: Service, writer: httpx.Client, tab: Tab
) -> None:
    runs = [new_run(writer), new_run(writer)]
    tab.page.goto(f"{guarded.url}/#token={READ_TOKEN}&to=/runs/{runs[0]}")
    tab.expect_state("live")
    other = tab.another(f"{guarded.url}/#/runs/{runs[1]}")
    other.expect_state("live")
    # the same token after a restart: the stream comes back without a login
    guarded.terminate()
    tab.expect_state("reconnecting")
    guarded.start()
    for each, run in zip((tab, other), runs, strict=True):
        each.expect_state("live")
        writer.post(f"/runs/{run}/logs", json={"message": "still here"})
        each.expect_lines(1)
    guarded.terminate()
    guarded.settings["read_token"] = "another-token-of-the-tests"
    guarded.start()
    for each in (tab, other):
        expect_login(each)
    assert streams(writer) == 0
    tab.page.bring_to_front()
    enter(tab, "another-token-of-the-tests")
    for each in (tab, other):
        each.expect_lines(1)
        each.expect_state("live")
    assert streams(writer) == 1


def test_a_reader_sees_no_cancel_and_a_refusal_is_a_sentence(
    guarded: Service, writer: httpx.Client, tab: Tab
) -> None:
    run = new_run(writer)
    tab.page.goto(f"{guarded.url}/#token={READ_TOKEN}&to=/runs/{run}")
    tab.expect_state("live")
    expect(tab.page.get_by_role("button", name="Cancel")).to_be_hidden()
    other = tab.another(f"{guarded.url}/#token={quote(TOKEN, safe='')}")
    other.expect_state("live")
    # the first tab belongs to the writer now
    cancel = tab.page.get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    # the login of the page is replaced behind its back
    cookies = plain.post(f"{guarded.url}/login", json={"token": READ_TOKEN}).cookies
    for name, value in cookies.items():
        tab.page.context.add_cookies([{"name": name, "value": value, "url": guarded.url}])
    cancel.click()
    tab.page.get_by_role("button", name="End this run?").click()
    expect(tab.page.get_by_role("alert")).to_contain_text("this credential does not allow to write")
    assert writer.get(f"/runs/{run}").json()["cancel_requested_at"] is None


def test_a_refused_login_says_when_to_try_again(guarded: Service, tab: Tab) -> None:
    tab.page.goto(guarded.url)
    expect_login(tab)
    problem = tab.page.locator("[aria-live=assertive]")
    enter(tab, "wrong")
    expect(problem).to_have_text("This token is not valid.")
    # as the service answers while many wrong tokens wait for their answers
    tab.page.route("**/login", lambda route: route.fulfill(status=429, headers={"Retry-After": "7"}))
    enter(tab, "wrong")
    expect(problem).to_have_text(re.compile(r"Too many wrong tokens\. Try again in \d+ s\."))
    tab.page.unroute("**/login")
    guarded.terminate()
    enter(tab, "wrong")
    expect(problem).to_have_text("The service does not answer. Try again.")


def test_a_service_without_a_login_shows_none(shared_service: Service, tab: Tab) -> None:
    """Not even after a link with a token, which is taken out of the address all the same."""
    tab.page.goto(f"{shared_service.url}/#token=secret")
    tab.expect_state("live")
    assert tab.page.url == f"{shared_service.url}/#/"
    expect(tab.page.get_by_role("button", name="Log out")).to_be_hidden()
    expect(tab.page.get_by_label("Token")).to_have_count(0)
