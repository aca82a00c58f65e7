"""The page in Chromium: what it shows of instances and runs."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service, new_run

NDJSON = {"Content-Type": "application/x-ndjson"}


def test_the_page_follows_a_run_to_its_end_and_stops(service: Service, lone_tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json=[{"message": f"before {n}"} for n in range(3)])
    lone_tab.page.goto(f"{service.url}/#/runs/{run}")
    expect(lone_tab.page.locator("#connection")).to_have_text("live")
    client.post(f"/runs/{run}/progress", json={"current": 3, "total": 10, "message": "batch 3"})
    expect(lone_tab.page.locator(".bar-text")).to_contain_text("3 of 10 · batch 3")
    assert lone_tab.page.locator("progress").evaluate("bar => bar.value / bar.max") == 0.3
    for n in range(5):
        client.post(f"/runs/{run}/logs", json={"message": f"line {n}", "level": "warn"})
        client.post(f"/runs/{run}/results", json={"key": "loss", "value": 1 / (n + 1), "step": n})
    lone_tab.expect_lines(8)
    lone_tab.page.keyboard.press("2")
    expect(lone_tab.page.locator(".chart strong")).to_have_text("0.2")
    lone_tab.page.keyboard.press("1")
    client.post(f"/runs/{run}/complete")
    expect(lone_tab.page.locator(".head .pill")).to_have_text("completed")
    expect(lone_tab.page.locator("#connection")).to_have_text("ended")
    responses = len(lone_tab.responses)
    assert [seq for seq, _ in lone_tab.rows] == list(range(1, 9))
    # a client that reconnected would do so within its retry time, 3 s at most
    lone_tab.page.wait_for_timeout(3500)
    assert len(lone_tab.responses) == responses
    assert lone_tab.errors == []


def test_every_line_is_shown_once_after_restarts_of_the_service(service: Service, tab: Tab) -> None:
    run = new_run(service.client())
    path = f"/runs/{run}/logs"

    def post(first: int, count: int) -> None:
        body = "\n".join(json.dumps({"message": f"line {n}"}) for n in range(first, first + count))
        service.client().post(path, content=body, headers=NDJSON).raise_for_status()

    tab.page.goto(f"{service.url}/#/runs/{run}")
    expect(tab.page.locator("#connection")).to_have_text("live")
    post(0, 50)
    tab.expect_lines(50)
    service.terminate()
    expect(tab.page.locator("#connection")).to_contain_text("reconnecting in ")
    service.start()
    post(50, 50)
    tab.expect_lines(100)
    service.kill()
    service.start()
    post(100, 50)
    service.client().post(f"/runs/{run}/complete")
    expect(tab.page.locator(".head .pill")).to_have_text("completed")
    tab.expect_lines(150)
    assert tab.read() == [(seq, f"line {seq - 1}") for seq in range(1, 151)]


def test_the_overview_updates_itself(service: Service, tab: Tab) -> None:
    tab.page.goto(service.url)
    expect(tab.page.get_by_role("heading", name="No experiments yet")).to_be_visible()
    client = service.client()
    client.put("/instances/digits", json={"name": "Digits", "description": "read by a machine"})
    row = tab.page.get_by_role("table", name="experiments").get_by_role("row").nth(1)
    expect(row).to_contain_text("Digits")
    expect(row).to_contain_text("no run yet")
    client.post("/instances/digits/runs", json={"id": "first"})
    expect(row).to_contain_text("1 pending")
    client.post("/runs/first/start")
    client.post("/runs/first/progress", json={"current": 1, "total": 4})
    expect(tab.page.locator(".news-list").first).to_contain_text("25 %")
    client.post("/runs/first/fail", json={"error": "Traceback\nValueError: no digits"})
    expect(row.locator(".pill")).to_have_text("failed")
    failed = tab.page.get_by_role("region", name="failed")
    expect(failed).to_contain_text("ValueError: no digits")
    failed.get_by_role("link").click()
    expect(tab.page.locator(".head .error")).to_contain_text("ValueError: no digits")
    tab.back()
    expect(row).to_contain_text("Digits")
    client.delete("/instances/digits")
    expect(tab.page.get_by_role("heading", name="No experiments yet")).to_be_visible()
    assert tab.errors == []


def test_a_runs_data_is_shown_as_text_and_never_as_markup(service: Service, tab: Tab) -> None:
    client = service.client()
    hostile = [
        "<img src=x onerror='document.title=\"hacked\"'>",
        "<script>document.title='hacked'</script>",
        "\u202egnirts desrever\u2066",
        "nul \x00 and \u2028 and \ufeff and \x1b[31mred",
        "x" * 262_144,
        "".join(f"\x1b[3{n % 8}mflood" for n in range(20_000)),
    ]
    client.put("/instances/evil", json={"name": hostile[0]}).raise_for_status()
    links = {"name": "javascript:alert(1)", "notes": "javascript:alert(1)", "url": "//example.org"}
    client.post("/instances/evil/runs", json={"id": "run", "metadata": links}).raise_for_status()
    client.post("/runs/run/start")
    client.post("/runs/run/logs", json=[{"message": text} for text in hostile]).raise_for_status()
    client.post("/runs/run/results", json={"key": hostile[1], "value": {hostile[0]: 1}})
    tab.page.goto(f"{service.url}/#/runs/run")
    tab.expect_lines(len(hostile))
    shown = [text for _, text in tab.rows]
    assert shown[:3] == hostile[:3]
    assert shown[3] == hostile[3].replace("\x1b[31m", "")
    assert shown[4] == "x" * 4000 + "…"
    tab.page.locator(".row").nth(4).click()
    assert tab.page.locator(".detail .whole").text_content() == hostile[4]
    tab.page.keyboard.press("2")
    expect(tab.page.locator(".values h3")).to_have_text(hostile[1])
    tab.page.locator(".values summary").click()
    expect(tab.page.locator(".values .leaf .key")).to_contain_text(hostile[0])
    assert (tab.page.locator("h1").text_content() or "").startswith(hostile[0])
    assert tab.page.locator("main img, main script").count() == 0
    assert "hacked" not in tab.page.title()
    # every link of each view stays on the page
    for path in ("/runs/run", "/instances/evil?compare=run", "/"):
        tab.page.goto(f"{service.url}/#{path}")
        expect(tab.page.locator("main a").first).to_be_visible()
        links = tab.page.eval_on_selector_all("a", "found => found.map(a => a.getAttribute('href'))")
        assert all(re.fullmatch(r"#(view|/[\w/.-]*)", link) for link in links), links
    assert tab.errors == []


def test_an_id_of_dots_leads_to_no_other_path(shared_service: Service, tab: Tab) -> None:
    requested: list[str] = []
    tab.page.on("request", lambda request: requested.append(request.url))
    for path, text in {
        "runs/..": "there is no run ..",
        "instances/.": "There is no experiment .",
    }.items():
        tab.page.goto(f"{shared_service.url}/#/{path}")
        expect(tab.page.locator("main")).to_contain_text(text)
    assert {url.removeprefix(shared_service.url) for url in requested if "static" not in url} == {
        "/",
        "/login",
    }


def test_the_cancel_button_asks_for_confirmation_and_shows_the_request(
    service: Service, tab: Tab
) -> None:
    client = service.client()
    run = new_run(client)
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.page.get_by_role("button", name="Cancel").click()
    assert client.get(f"/runs/{run}").json()["cancel_requested_at"] is None
    tab.page.get_by_role("button", name="End this run?").click()
    expect(tab.page.get_by_role("button", name="Cancelling…")).to_be_disabled()
    response = client.post(f"/runs/{run}/logs", json={"message": "ending"}).json()
    assert response["cancel_requested"] is True
    client.post(f"/runs/{run}/cancelled")
    expect(tab.page.locator(".head .pill")).to_have_text("cancelled")


def test_an_unknown_run_is_reported_as_unknown(service: Service, tab: Tab) -> None:
    tab.page.goto(f"{service.url}/#/runs/nowhere")
    expect(tab.page.locator("main h1")).to_have_text("there is no run nowhere")


def messages(first: int, count: int) -> str:
    return "".join(f'{{"message": "line {number}"}}\n' for number in range(first, first + count))


@pytest.mark.long
def test_a_million_lines_are_correct_at_every_scroll_position(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    for first in range(1, 1_000_001, 10_000):
        path = f"/runs/{run}/logs"
        client.post(path, content=messages(first, 10_000), headers=NDJSON).raise_for_status()
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(1_000_000)

    def check(first: int | None = None, last: int | None = None) -> list[int]:
        rows = tab.rows
        seqs = [seq for seq, _ in rows]
        assert rows == [(seq, f"line {seq}") for seq in range(seqs[0], seqs[0] + len(rows))]
        assert first in (None, seqs[0])
        assert last in (None, seqs[-1])
        return seqs

    check(last=1_000_000)
    tab.page.locator(".viewport").focus()
    tab.page.keyboard.press("Home")
    check(first=1)
    # as by dragging the scroll bar
    for share in (0.5, 0.123, 0.999, 0.7):
        tab.page.locator(".viewport").evaluate(
            "(view, share) => { view.scrollTop = share * (view.scrollHeight - view.clientHeight) }", share
        )
        wait_until(lambda: abs(check()[0] / 1e6 - share) < 0.002, "the place")  # noqa: B023
    before = check()[0]
    tab.page.mouse.move(600, 550)
    # the wheel moves by rows, although the scroll bar's range is shorter than the rows
    tab.page.mouse.wheel(0, 200)
    wait_until(lambda: check()[0] == before + 10, "ten rows further")
    tab.page.keyboard.press("PageUp")
    assert check()[0] < before + 10
    # new lines do not move the view
    before = check()[0]
    client.post(f"/runs/{run}/logs", content=messages(1_000_001, 5), headers=NDJSON).raise_for_status()
    expect(tab.page.locator(".new-lines")).to_have_text("5 new ↓")
    assert check()[0] == before
    tab.page.locator(".new-lines").click()
    wait_until(lambda: check()[-1] == 1_000_005, "the newest")
    tab.page.goto(f"{service.url}/#/runs/{run}/logs?line=345678")
    expect(tab.page.locator(".row.selected")).to_contain_text("line 345678")
    expect(tab.page.locator(".detail")).to_contain_text("line 345678")
    tab.page.keyboard.press("Escape")
    expect(tab.page.locator(".detail")).to_be_hidden()
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("99999")
    expect(tab.page.locator(".count")).to_have_text("19 of 1,000,005 lines")
    assert [seq for seq, _ in tab.rows][-1] == 999_999
    tab.page.keyboard.press("Escape")
    tab.expect_lines(1_000_005)
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("HeapProfiler.collectGarbage")
    used = session.send("Runtime.getHeapUsage")["usedSize"]
    assert used < 200 * 1024 * 1024
    assert tab.page.locator("*").count() < 2000
    assert tab.errors == []


@pytest.mark.long
def test_the_page_follows_5000_lines_a_second_and_counts_them_all(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    tab.page.goto(f"{service.url}/#/runs/{run}")
    expect(tab.page.locator("#connection")).to_have_text("live")
    # ten seconds
    for number in range(100):
        client.post(f"/runs/{run}/logs", content=messages(number * 500 + 1, 500), headers=NDJSON)
        tab.page.wait_for_timeout(80)
    client.post(f"/runs/{run}/complete").raise_for_status()
    tab.expect_lines(50_000)
    expect(tab.page.locator(".head .pill")).to_have_text("completed")
    assert tab.rows[-1] == (50_000, "line 50000")
    tab.page.keyboard.press("g")
    assert tab.rows[0] == (1, "line 1")


def test_every_line_is_shown_once_after_a_network_outage(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    path = f"/runs/{run}/logs"
    tab.page.goto(f"{service.url}/#/runs/{run}")
    client.post(path, content=messages(1, 100), headers=NDJSON).raise_for_status()
    tab.expect_lines(100)
    tab.page.context.set_offline(True)
    # Chromium's offline mode does not close open streams
    service.terminate()
    expect(tab.page.locator("#connection")).to_contain_text("reconnecting")
    client = service.start().client()
    client.post(path, content=messages(101, 312), headers=NDJSON).raise_for_status()
    tab.page.context.set_offline(False)
    expect(tab.page.locator("#connection")).to_have_text("caught up, 312 new")
    tab.expect_lines(412)
    assert tab.read() == [(seq, f"line {seq}") for seq in range(1, 413)]


def test_downloads_are_complete(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    for first in (1, 10_001):
        client.post(f"/runs/{run}/logs", content=messages(first, 10_000), headers=NDJSON)
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(20_000)
    found = {}
    for form in ("csv", "ndjson", "json"):
        with tab.page.expect_download() as download:
            tab.page.get_by_label("download lines").select_option(form)
        found[form] = download.value.path().read_text()
    entries = json.loads(found["json"])
    assert [entry["seq"] for entry in entries] == list(range(1, 20_001))
    assert [json.loads(line) for line in found["ndjson"].splitlines()] == entries
    assert len(found["csv"].splitlines()) == 20_001


def test_level_and_search_filter_new_lines_too(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    levels = ["debug", "info", "warn", "error"]
    entries = [{"message": f"Line {number}", "level": levels[number % 4]} for number in range(400)]
    client.post(f"/runs/{run}/logs", json=entries).raise_for_status()
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(400)
    tab.page.get_by_label("lowest level").select_option("warn and above")
    expect(tab.page.locator(".count")).to_have_text("200 of 400 lines")
    tab.page.get_by_label("search lines").fill("lINE 39")
    expect(tab.page.locator(".count")).to_have_text("7 of 400 lines")
    client.post(f"/runs/{run}/logs", json=[{"message": "Line 39x", "level": "error"}, {"message": "no"}])
    expect(tab.page.locator(".count")).to_have_text("8 of 402 lines")
    assert [text for _, text in tab.rows] == [
        *(f"Line {number}" for number in (39, 390, 391, 394, 395, 398, 399) if number % 4 > 1),
        "Line 39x",
    ]
