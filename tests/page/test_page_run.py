"""The run's head and its About tab: configuration, times, progress, edits, timeline, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service, new_run

Tabs = Callable[..., Tab]
ERROR = (
    "Traceback (most recent call last):\n"
    '  File "train.py", line 81, in <module>\n'
    "    step(batch)\n"
    "RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"
)


def shown(tab: Tab, service: Service, path: str) -> None:
    tab.page.goto("about:blank")
    tab.page.goto(f"{service.url}/#/runs/{path}")
    expect(tab.page.locator(".head")).to_be_visible()


def made(client: httpx.Client, metadata: dict[str, Any], **instance: Any) -> str:
    """A pending run with this metadata, of an instance with these fields."""
    of = client.post("/instances", json={"name": "digits", **instance}).json()["id"]
    response = client.post(f"/instances/{of}/runs", json={"metadata": metadata})
    return str(response.raise_for_status().json()["id"])


def timeline(tab: Tab) -> Locator:
    return tab.page.locator(".timeline li > span:first-child")


def test_the_configuration_is_a_table(shared_service: Service, client: httpx.Client, tabs: Tabs) -> None:
    config = {
        "lr": 3e-4,
        "seed": 12345678901234567890,
        "model": {"layers": [64, 64], "kind": {"name": "conv"}, "empty": {}},
        **{f"extra_{n}": n for n in range(20)},
    }
    run = made(
        client, {"name": "one", "config": config, "commit": "0123abcd"}, configuration={"base": True}
    )
    tab = tabs(permissions=["clipboard-read", "clipboard-write"])
    shown(tab, shared_service, f"{run}/about")
    table = tab.page.get_by_role("table", name="Configuration", exact=True)
    rows = {row.split("\t")[0]: row.split("\t")[1] for row in table.locator("tr").all_inner_texts()}
    assert rows["lr"] == "0.0003"
    assert rows["seed"] == "12345678901234567890"
    assert rows["model.layers"] == "[64,64]"
    assert rows["model.kind.name"] == "conv"
    assert rows["model.empty"] == "{}"
    assert len(rows) == 25
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("model.")
    expect(table.locator("th")).to_have_text(["model.layers", "model.kind.name", "model.empty"])
    tab.page.get_by_role("button", name="Copy as JSON").first.click()
    wait_until(lambda: "lr" in tab.page.evaluate("navigator.clipboard.readText()"), "a copy")
    assert json.loads(tab.page.evaluate("navigator.clipboard.readText()")) == config
    expect(tab.page.get_by_role("table", name="Configuration of the experiment")).to_contain_text("base")
    expect(tab.page.get_by_role("table", name="Other metadata")).to_contain_text("0123abcd")
    # another client changes it: what the stream says of the run has no exact integers
    client.patch(
        f"/runs/{run}", content='{"metadata": {"config": {"seed": 9007199254740993}}}'
    ).raise_for_status()
    tab.page.get_by_label("filter configuration", exact=True).fill("seed")
    expect(table.locator("td")).to_have_text("9007199254740993")
    assert tab.errors == []


def test_hostile_metadata_is_text(shared_service: Service, client: httpx.Client, tab: Tab) -> None:
    hostile = "<img src=x onerror='document.title=\"hacked\"'>"
    metadata = {
        "config": {hostile: {"__proto__": hostile, "constructor": [hostile]}},
        "tags": [hostile, 7, None],
        "notes": hostile,
        "summary": [1],
    }
    run = made(client, metadata)
    shown(tab, shared_service, f"{run}/about")
    expect(tab.page.get_by_role("table", name="Configuration", exact=True)).to_contain_text("__proto__")
    assert tab.page.locator("main img").count() == 0
    assert tab.page.locator(".head .tag").all_text_contents() == [hostile]
    for odd in (
        {"config": 3},
        {"config": [1], "tags": "one"},
        {"tags": {"a": 1}, "notes": {"b": 2}, "summary": 4},
    ):
        run = made(client, odd)
        shown(tab, shared_service, f"{run}/about")
        expect(timeline(tab)).to_have_text(["created"])
    assert "hacked" not in tab.page.title()
    assert tab.errors == []


def test_the_timeline_has_the_events_of_a_life(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = made(client, {"name": "first", "config": {"seed": 12345678901234567890}})
    client.post(f"/runs/{run}/start")
    client.patch(f"/runs/{run}", json={"name": "second"})
    for loss in range(3):
        client.patch(f"/runs/{run}", json={"metadata": {"summary": {"loss": loss}}})
    shown(tab, shared_service, f"{run}/about")
    expect(timeline(tab)).to_have_text(
        ["created", "started", "renamed: second", "changed: summary (3 times)"]
    )
    # live events continue it
    tab.expect_state("live")
    wait_until(lambda: tab.page.evaluate("1") == 1, "the browser")
    tab.page.get_by_role("button", name="rename the run").click()
    tab.page.get_by_role("textbox", name="rename the run").fill("third")
    tab.page.keyboard.press("Enter")
    expect(timeline(tab).last).to_have_text("renamed: third")
    client.post(f"/runs/{run}/cancel")
    expect(timeline(tab).last).to_have_text("cancel requested")
    client.post(f"/runs/{run}/fail", json={"error": ERROR})
    ended = [
        *("created", "started", "renamed: second", "changed: summary (3 times)", "renamed: third"),
        *("cancel requested", "failed: RuntimeError: CUDA out of memory. Tried to allocate 2.00 GiB"),
    ]
    expect(timeline(tab)).to_have_text(ended)
    # the same is read of an ended run
    tab.page.reload()
    expect(timeline(tab)).to_have_text(ended)
    assert tab.page.locator(".timeline time").count() == 4
    assert tab.errors == []


def test_name_tags_and_notes_are_edited_in_place(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = made(client, {"name": "first", "tags": ["old"], "config": {"seed": 1}})
    client.post(f"/runs/{run}/start")
    client.post(f"/runs/{run}/complete")
    shown(tab, shared_service, run)
    # by keyboard alone; Escape leaves the name as it was
    rename = tab.page.get_by_role("button", name="rename the run")
    rename.focus()
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.type("not this")
    tab.page.keyboard.press("Escape")
    expect(rename).to_be_focused()
    expect(tab.page.locator("h1 .name")).to_have_text("first")
    tab.page.keyboard.press("Enter")
    tab.page.keyboard.type("second try")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("h1 .name")).to_have_text("second try")
    expect(tab.page).to_have_title("completed · second try")
    tab.page.keyboard.press("3")
    tab.page.get_by_label("add a tag").fill("best")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator(".head .tag")).to_have_text(["old", "best"])
    tab.page.get_by_role("button", name="remove the tag old").click()
    expect(tab.page.locator(".head .tag")).to_have_text(["best"])
    tab.page.get_by_role("button", name="edit the notes").click()
    tab.page.get_by_role("textbox", name="edit the notes").fill("a line\nand another")
    tab.page.keyboard.press("Control+Enter")
    expect(tab.page.locator(".notes")).to_have_text("a line\nand another")
    metadata = client.get(f"/runs/{run}").json()["metadata"]
    assert metadata == {
        **{"name": "second try", "tags": ["best"], "notes": "a line\nand another"},
        "config": {"seed": 1},
    }
    assert tab.errors == []


def test_an_edit_that_is_refused_says_why_and_keeps_the_text(service: Service, tab: Tab) -> None:
    client = service.client()
    run = made(client, {"name": "first"})
    shown(tab, service, run)
    tab.page.get_by_role("button", name="rename the run").click()
    field = tab.page.get_by_role("textbox", name="rename the run")
    field.fill("second")
    service.terminate()
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("alert").filter(has_text="not saved")).to_be_visible()
    expect(field).to_have_value("second")
    service.start()
    tab.page.get_by_role("button", name="Save").click()
    expect(tab.page.locator("h1 .name")).to_have_text("second")


def test_a_run_is_deleted_after_a_question(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    client.post(f"/runs/{run}/logs", json={"message": "one"})
    shown(tab, shared_service, f"{run}/about")
    delete = tab.page.get_by_role("button", name="Delete this run…")
    expect(delete).to_be_disabled()
    expect(tab.page.locator(".about")).to_contain_text("cancel it first")
    client.post(f"/runs/{run}/complete")
    delete.click()
    dialog = tab.page.get_by_role("dialog", name="delete the run")
    expect(dialog).to_contain_text("with 1 line and 0 results")
    tab.page.get_by_role("button", name="Keep it").click()
    expect(dialog).to_have_count(0)
    assert client.get(f"/runs/{run}").status_code == 200
    delete.click()
    tab.page.get_by_role("button", name="Delete", exact=True).click()
    tab.page.wait_for_url("**/#/instances/*")
    assert client.get(f"/runs/{run}").status_code == 404


def test_a_stale_run_can_be_marked_as_failed(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)

    def stale(route: Any) -> None:
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), "stale": True})

    tab.page.route(f"**/runs/{run}", stale, times=1)
    shown(tab, shared_service, run)
    expect(tab.page.locator(".head .pill")).to_have_text("stale")
    tab.page.get_by_role("button", name="Mark as failed").click()
    assert client.get(f"/runs/{run}").json()["status"] == "running"
    tab.page.get_by_role("button", name="It gives no sign of life: end it?").click()
    expect(tab.page.locator(".head .pill")).to_have_text("failed")
    expect(tab.page.locator(".head .error-line")).to_contain_text("marked as failed on the page")
    assert client.get(f"/runs/{run}").json()["status"] == "failed"


def test_a_failed_run_shows_why_and_leads_to_its_last_lines(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    entries = [{"message": f"line {number}"} for number in range(1, 500)]
    client.post(f"/runs/{run}/logs", json=[*entries, {"message": ERROR, "level": "error"}])
    client.post(f"/runs/{run}/fail", json={"error": ERROR})
    shown(tab, shared_service, f"{run}/about")
    expect(tab.page.locator(".head .error-line")).to_have_text(ERROR.split("\n")[-1])
    whole = tab.page.get_by_label("the run's error")
    expect(whole).to_be_hidden()
    button = tab.page.get_by_role("button", name="Whole error")
    button.click()
    expect(whole).to_have_text(ERROR)
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(whole).to_be_hidden()
    tab.page.get_by_role("link", name="last log lines").click()
    assert tab.rows[-1] == (500, ERROR.split("\n")[-1])
    # from a filtered view too
    tab.page.get_by_label("search lines").fill("line 3")
    expect(tab.page.locator(".count")).to_have_text("111 of 500 lines")
    tab.page.get_by_role("link", name="last log lines").click()
    tab.expect_lines(500)
    assert tab.rows[-1][0] == 500


def test_several_bars_and_times_come_from_the_services_clock(
    shared_service: Service, client: httpx.Client, tabs: Tabs
) -> None:
    tab = tabs()
    # a computer whose clock is two hours fast
    tab.page.add_init_script("{ const real = Date.now; Date.now = () => real() + 7_200_000; }")
    run = new_run(client)
    bars: list[dict[str, Any]] = [
        {"current": 3, "total": 10, "message": "epoch"},
        {"current": 120, "total": 500, "message": "batch"},
        {"current": 7, "total": None, "message": "files"},
    ]
    client.post(f"/runs/{run}/progress", json={**bars[0], "bars": bars}).raise_for_status()
    shown(tab, shared_service, run)
    tab.expect_state("live")
    expect(tab.page.get_by_role("progressbar")).to_have_count(3)
    texts = tab.page.locator(".bar-text")
    expect(texts.nth(0)).to_contain_text("3 of 10 · epoch")
    expect(texts.nth(1)).to_contain_text("120 of 500 · batch")
    expect(texts.nth(2)).to_contain_text("7 · files")
    expect(tab.page.locator(".head .first time")).to_have_text(re.compile(r"^\d{1,2} s$"))
    bars[0]["current"] = 4
    last = {**bars[0], "bars": bars[:2]}

    def is_known() -> bool:
        client.post(f"/runs/{run}/progress", json=last).raise_for_status()
        return (
            re.search(r"4 of 10 · epoch · \d{1,2} s left", texts.nth(0).text_content() or "") is not None
        )

    # since the start of the run, and so known as soon as that is longer ago than the clock is uncertain
    wait_until(is_known, "the time that is left")
    expect(tab.page.get_by_role("progressbar")).to_have_count(2)
    client.post(f"/runs/{run}/complete")
    expect(tab.page.get_by_role("progressbar")).to_have_count(0)
    expect(tab.page.locator(".times")).to_contain_text("began")
    expect(tab.page.locator(".times")).to_contain_text("ended")


def test_the_services_clock_is_known_within_the_bounds_of_its_responses(
    shared_service: Service, tab: Tab
) -> None:
    """Whatever the two clocks say, and however long responses take."""
    tab.page.goto(shared_service.url)
    wrong = tab.page.evaluate(
        """async () => {
          const clock = await import("./static/common/clock.js");
          const real = Date.now;
          const wrong = [];
          let now = 1e12;
          Date.now = () => now;
          for (const offset of [0, 400, -400, 3000, -7.2e6, 7.2e6, 1e9, 12345, -999]) {
            for (let response = 0; response < 200; response += 1) {
              const sentAt = now;
              now += Math.random() * 300;
              // the header is renewed every 1,010 ms
              const service = now + offset;
              const date = service - (service % 1010);
              now += Math.random() * 300;
              clock.learn(new Date(Math.floor(date / 1000) * 1000).toUTCString(), sentAt, now);
              now += Math.random() * 2000;
            }
            const error = clock.serviceNow() - (now + offset);
            if (Math.abs(error) > 600) wrong.push([offset, error]);
          }
          clock.learn(null, 0);
          clock.learn("no date", 0);
          if (!Number.isFinite(clock.serviceNow())) wrong.push("not finite");
          Date.now = real;
          return wrong;
        }"""
    )
    assert wrong == []


def test_integers_of_any_length_pass_through_json(shared_service: Service, tab: Tab) -> None:
    tab.page.goto(shared_service.url)
    texts = [
        "9007199254740993",
        "-123456789012345678901234567890",
        "0",
        "1.5",
        "1e300",
        '"9007199254740993"',
    ]
    nested = "{" + ",".join(f'"{n}x":[{text},{{"a":{text}}}]' for n, text in enumerate(texts)) + "}"
    for text in [*texts, nested, '{"__proto__":12345678901234567890}']:
        again = tab.page.evaluate(
            """async (text) => {
              const json = await import("./static/common/json.js");
              return json.text(json.parse(text));
            }""",
            text,
        )
        assert again == text.replace("1e300", "1e+300")


def test_a_run_without_lines_says_what_to_do(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = made(client, {})
    shown(tab, shared_service, run)
    empty = tab.page.locator(".empty")
    expect(empty).to_contain_text("This run has not started")
    expect(empty).to_contain_text(f"curl -X POST {shared_service.url}/runs/{run}/start")
    tab.expect_state("live")
    client.post(f"/runs/{run}/start")
    expect(empty).to_contain_text("No lines yet")
    # what it says works
    expect(empty).to_contain_text(f"curl -X POST {shared_service.url}/runs/{run}/logs -d 'Hello, world'")
    client.post(f"/runs/{run}/logs", content="Hello, world", headers={"Content-Type": "text/plain"})
    expect(empty).to_be_hidden()
    assert tab.rows == [(1, "Hello, world")]
    other = new_run(client)
    client.post(f"/runs/{other}/complete")
    shown(tab, shared_service, other)
    expect(empty).to_contain_text("This run has no lines")


def test_a_missing_run_and_a_stopped_service_say_what_to_do(service: Service, tab: Tab) -> None:
    tab.page.goto(f"{service.url}/#/runs/nowhere")
    expect(tab.page.locator("h1")).to_have_text("there is no run nowhere")
    expect(tab.page.locator("main")).to_contain_text("It may have been deleted")
    tab.page.get_by_role("link", name="all experiments").click()
    expect(tab.page.locator("main")).to_contain_text("No experiments yet")
    run = new_run(service.client())
    shown(tab, service, run)
    tab.expect_state("live")
    away = tab.page.get_by_role("status").filter(has_text="does not answer")
    service.terminate()
    expect(away).to_contain_text("Start it with “athanor serve”")
    service.start()
    expect(away).to_have_count(0)
    # a page that is opened while the service is away
    service.terminate()
    tab.page.evaluate(f"location.hash = '#/runs/{run}/about'")
    expect(away).to_contain_text("connects again by itself")
    service.start()
    expect(timeline(tab)).to_have_text(["created", "started"])


@pytest.mark.parametrize("end", ["running", "failed"])
def test_the_head_takes_at_most_a_quarter_of_a_phone(
    end: str, shared_service: Service, client: httpx.Client, tabs: Tabs
) -> None:
    long = "a name that is much too long for the narrow screen of a phone, and longer still"
    run = made(client, {"name": long, "tags": ["one", "two", "three", "four"]}, name=long)
    client.post(f"/runs/{run}/start")
    bars = [{"current": n, "total": 20, "message": f"bar {n} {long}"} for n in range(1, 17)]
    client.post(f"/runs/{run}/progress", json={**bars[0], "bars": bars}).raise_for_status()
    if end == "failed":
        client.post(f"/runs/{run}/fail", json={"error": f"Traceback\n{'ValueError: ' + long * 3}"})
    tab = tabs(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    shown(tab, shared_service, run)
    height = tab.page.locator(".head").evaluate("head => head.getBoundingClientRect().height")
    assert height <= 844 / 4
    overflow = tab.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow == 0
    if end == "running":
        tab.page.get_by_role("button", name="Cancel").tap()
        expect(tab.page.get_by_role("button", name="End this run?")).to_be_visible()


def test_a_reader_sees_no_controls_that_change_something(service: Service, tab: Tab) -> None:
    run = made(service.client(), {"tags": ["one"], "notes": "seen"})
    answer = {"name": "reader", "may_write": False, "login_required": True}
    tab.page.route("**/login", lambda route: route.fulfill(json=answer))
    shown(tab, service, f"{run}/about")
    expect(tab.page.locator(".notes")).to_have_text("seen")
    for name in (
        "rename the run",
        "edit the notes",
        "Delete this run…",
        "Cancel",
        "remove the tag one",
        "Add",
    ):
        expect(tab.page.get_by_role("button", name=name)).to_have_count(0)
