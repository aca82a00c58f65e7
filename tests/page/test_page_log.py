"""The Logs tab: copying, selecting, tracebacks, marks, wrapping, dates, and its place in the address."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.held import Held
from ..support.service import Service, new_run

Tabs = Callable[..., Tab]
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "train.py", line 81, in <module>\n'
    "    step(batch)\n"
    '  File "train.py", line 44, in step\n'
    "    loss.backward()\n"
    "\x1b[1;31mRuntimeError\x1b[0m: \x1b[31mCUDA out\x1b[0m of memory"
)
PLAIN = re.sub(r"\x1b\[[\d;]*m", "", TRACEBACK)
LAST = "RuntimeError: CUDA out of memory"


@pytest.fixture
def reader(tabs: Tabs) -> Tab:
    """A tab that may use the clipboard."""
    return tabs(permissions=["clipboard-read", "clipboard-write"])


def post(client: httpx.Client, run: str, *entries: dict[str, Any]) -> None:
    client.post(f"/runs/{run}/logs", json=list(entries)).raise_for_status()


def lines(first: int, count: int) -> list[dict[str, Any]]:
    return [{"message": f"line {number}"} for number in range(first, first + count)]


def long_run(client: httpx.Client) -> str:
    """A run of 20,000 lines."""
    run = new_run(client)
    for first in range(1, 20_001, 10_000):
        post(client, run, *lines(first, 10_000))
    return run


def message(tab: Tab, seq: int) -> Locator:
    return tab.page.locator(f'.row[data-seq="{seq}"] .message')


def box(tab: Tab, seq: int) -> dict[str, float]:
    found = message(tab, seq).bounding_box()
    assert found is not None
    return {"x": found["x"], "y": found["y"], "width": found["width"]}


def drag(tab: Tab, first: int, last: int, *, before: int = 0) -> None:
    """Select from the beginning of one line, or `before` pixels left of it, to the end of another."""
    begin, end = box(tab, first), box(tab, last)
    tab.page.mouse.move(begin["x"] + 1 - before, begin["y"] + 10)
    tab.page.mouse.down()
    tab.page.mouse.move(end["x"] + end["width"] - 1, end["y"] + 10, steps=5)
    tab.page.mouse.up()


def copied(tab: Tab) -> str:
    tab.page.evaluate("navigator.clipboard.writeText('nothing')")
    tab.page.keyboard.press("Control+c")
    wait_until(lambda: tab.page.evaluate("navigator.clipboard.readText()") != "nothing", "a copy")
    return str(tab.page.evaluate("navigator.clipboard.readText()"))


def opened(tab: Tab, service: Service, run: str, query: str = "") -> None:
    tab.page.goto("about:blank")
    tab.page.goto(f"{service.url}/#/runs/{run}{query}")
    assert tab.rows


def first_row(tab: Tab) -> int:
    return tab.rows[0][0]


def test_copied_lines_are_their_messages(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = new_run(client)
    post(client, run, *lines(1, 50), {"message": TRACEBACK, "metadata": {"pid": 1}}, *lines(52, 3))
    opened(reader, shared_service, run)
    drag(reader, 45, 47)
    assert copied(reader) == "line 45\nline 46\nline 47"
    # from the column of the times, which is no part of the text
    drag(reader, 45, 47, before=90)
    assert copied(reader) == "line 45\nline 46\nline 47"
    # the row of a traceback stands for all its lines
    drag(reader, 50, 52)
    assert copied(reader) == f"line 50\n{PLAIN}\nline 52"
    place = box(reader, 48)
    reader.page.mouse.dblclick(place["x"] + 10, place["y"] + 10)
    assert copied(reader).strip() == "line"
    reader.page.mouse.click(place["x"] + 10, place["y"] + 10, click_count=3)
    assert copied(reader) == "line 48"
    # the last row has nothing after it, where the browser could end the selection
    place = box(reader, 54)
    reader.page.mouse.click(place["x"] + 10, place["y"] + 10, click_count=3)
    assert copied(reader) == "line 54"
    assert reader.errors == []


def test_a_selection_stays_while_lines_come(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = new_run(client)
    post(client, run, *lines(1, 100))
    opened(reader, shared_service, run)
    reader.expect_state("live")
    drag(reader, 90, 92)
    selected = """() => [...document.querySelectorAll('.message')]
      .filter((node) => getSelection().containsNode(node, true)).length"""
    assert reader.page.evaluate(selected) == 3
    for first in range(101, 1101, 100):
        post(client, run, *lines(first, 100))
    reader.expect_lines(1100)
    # the end is followed all the same
    assert reader.rows[-1] == (1100, "line 1100")
    assert copied(reader) == "line 90\nline 91\nline 92"
    reader.page.keyboard.press("g")
    assert first_row(reader) == 1
    assert copied(reader) == "line 90\nline 91\nline 92"
    reader.page.locator(".viewport").evaluate("view => { view.scrollTop = 88 * 20 }")
    wait_until(lambda: first_row(reader) == 89, "the selected lines")
    assert reader.page.evaluate(selected) == 3
    assert copied(reader) == "line 90\nline 91\nline 92"


def test_nothing_moves_under_a_pressed_mouse_button(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = new_run(client)
    post(client, run, *lines(1, 100))
    opened(reader, shared_service, run)
    reader.expect_state("live")
    first = first_row(reader)
    begin, end = box(reader, 90), box(reader, 92)
    reader.page.mouse.move(begin["x"] + 1, begin["y"] + 10)
    reader.page.mouse.down()
    reader.page.mouse.move(end["x"] + 5, end["y"] + 10)
    post(client, run, *lines(101, 500))
    reader.expect_lines(600)
    assert first_row(reader) == first
    reader.page.mouse.move(end["x"] + end["width"] - 1, end["y"] + 10)
    reader.page.mouse.up()
    wait_until(lambda: reader.rows[-1][0] == 600, "the end")
    assert copied(reader) == "line 90\nline 91\nline 92"


def test_a_selection_over_lines_that_are_not_loaded_is_copied_whole(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = long_run(client)
    opened(reader, shared_service, run)
    reader.page.keyboard.press("g")
    place = box(reader, 1) if first_row(reader) == 1 else {}
    reader.page.mouse.click(place["x"] + 1, place["y"] + 10)
    reader.page.keyboard.press("Escape")
    reader.page.evaluate(
        "() => { const node = document.querySelector('.message'); getSelection().collapse(node, 0); }"
    )
    reader.page.keyboard.press("G")
    wait_until(lambda: reader.rows[-1][0] == 20_000, "the end")
    # a collapsed selection keeps no row: the first line is selected again by its text
    reader.page.keyboard.press("g")
    assert first_row(reader) == 1
    drag(reader, 1, 2)
    reader.page.keyboard.press("G")
    wait_until(lambda: reader.rows[-1][0] == 20_000, "the end")
    end = box(reader, 20_000)
    reader.page.keyboard.down("Shift")
    reader.page.mouse.click(end["x"] + end["width"] - 1, end["y"] + 10)
    reader.page.keyboard.up("Shift")
    text = copied(reader)
    assert text.split("\n") == [f"line {number}" for number in range(1, 20_001)]
    expect(reader.page.locator(".log-tab .tools")).to_contain_text("copied 20,000 lines")


def test_a_click_before_a_key_does_not_take_the_view_back(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    post(client, run, *lines(1, 1000))
    opened(tab, shared_service, run)
    # the page waits for a second click, which would select a word; a timer of the same page outlasts it
    waited = "() => new Promise(done => setTimeout(done, 1000))"
    for key, last in (("G", 1000), ("Escape", None)):
        tab.page.keyboard.press("g")
        assert first_row(tab) == 1
        before = tab.rows
        place = box(tab, 1)
        tab.page.mouse.click(place["x"] + 10, place["y"] + 10)
        tab.page.keyboard.press(key)
        tab.page.evaluate(waited)
        assert tab.rows[-1][0] == (last or before[-1][0])
        expect(tab.page.locator(".detail")).to_be_hidden()
        assert "line=" not in tab.page.url
    # without a key, the click opens the line
    tab.page.mouse.click(place["x"] + 10, place["y"] + 10)
    expect(tab.page.locator(".detail")).to_contain_text("line 1")
    assert tab.errors == []


@pytest.mark.parametrize(("key", "shown"), [("G", 20_000), ("g", 1)])
def test_a_line_that_is_loaded_late_does_not_take_the_view_back(
    shared_service: Service, client: httpx.Client, tab: Tab, key: str, shown: int
) -> None:
    run = long_run(client)
    ranges = re.compile(r"/logs\?after=")
    held = Held(tab.page, ranges)
    with tab.page.expect_request(ranges):
        tab.page.goto(f"{shared_service.url}/#/runs/{run}?line=3000")
    tab.page.locator(".viewport").focus()
    tab.page.keyboard.press(key)
    held.release()
    expect(tab.page.locator(".detail")).to_contain_text("line 3000")
    assert shown in [seq for seq, _ in tab.rows]
    assert tab.errors == []


def test_a_traceback_shows_its_last_line_and_on_demand_all(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = new_run(client)
    post(client, run, *lines(1, 60), {"message": TRACEBACK + "\n", "level": "error"}, *lines(62, 3))
    opened(reader, shared_service, run)
    row = reader.page.locator('.row[data-seq="61"]')
    expect(message(reader, 61)).to_have_text(LAST)
    expect(message(reader, 61).locator(".fg-1")).to_have_text(["RuntimeError", "CUDA out"])
    more = row.get_by_role("button", name="show 5 more lines of this message")
    expect(more).to_have_text("+5")
    more.click()
    whole = reader.page.get_by_role("region", name="the line")
    expect(whole.locator(".whole")).to_have_text(PLAIN + "\n")
    expect(reader.page.locator(".row.selected")).to_be_in_viewport(ratio=1)
    whole.get_by_role("button", name="Copy", exact=True).click()
    wait_until(lambda: reader.page.evaluate("navigator.clipboard.readText()") == PLAIN + "\n", "a copy")
    reader.page.keyboard.press("Escape")
    expect(whole).to_be_hidden()
    # by keyboard: the last visible line, then Enter into its text
    reader.page.locator(".viewport").focus()
    reader.page.keyboard.press("Enter")
    expect(whole).to_contain_text("line 64")
    for _ in range(3):
        reader.page.keyboard.press("k")
    expect(whole.locator(".whole")).to_have_text(PLAIN + "\n")
    reader.page.keyboard.press("Enter")
    expect(whole).to_be_focused()


def test_matches_are_marked_and_the_row_shows_what_matches(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    entries = [
        *lines(1, 30),
        {"message": TRACEBACK},
        {"message": "no", "metadata": {"a": "x" * 500, "Key": "cuda OUT"}},
    ]
    post(client, run, *entries)
    opened(tab, shared_service, run)
    search = tab.page.get_by_label("search lines")
    # what the escape sequences hide from a search for "out of" is marked in the live lines
    search.fill("cuda out")
    expect(tab.page.locator(".count")).to_contain_text("of 32 lines")
    post(
        client,
        run,
        {"message": TRACEBACK},
        {"message": "no", "metadata": {"a": "x" * 500, "Key": "cuda OUT"}},
    )
    expect(message(tab, 33).locator("mark")).to_have_text("CUDA out")
    expect(message(tab, 33).locator("mark.fg-1")).to_have_count(1)
    expect(tab.page.locator('.row[data-seq="34"] .metadata mark')).to_have_text("cuda OUT")
    with tab.page.expect_response(lambda response: "q=" in response.url):
        search.fill("CUDA OUT OF m")
    post(client, run, {"message": TRACEBACK})
    expect(message(tab, 35).locator("mark")).to_have_text(["CUDA out", " of m"])
    # the last line does not match, an earlier one does
    with tab.page.expect_response(lambda response: "q=" in response.url):
        search.fill("loss.BACK")
    post(client, run, {"message": TRACEBACK})
    expect(message(tab, 36)).to_have_text("    loss.backward()")
    expect(message(tab, 36).locator("mark")).to_have_text("loss.back")
    expect(tab.page.locator('.row[data-seq="36"] .more')).to_have_text("+5")
    # what only a sequence has is no match
    with tab.page.expect_response(lambda response: "q=" in response.url):
        search.fill("[31m")
    post(client, run, {"message": TRACEBACK}, {"message": "the text [31m"})
    expect(message(tab, 38).locator("mark")).to_have_text("[31m")
    expect(message(tab, 37)).to_have_count(0)
    assert tab.errors == []


def test_clearing_a_search_stays_at_the_match(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    entries = lines(1, 3000)
    entries[1499]["message"] = "needle one"
    entries[1999]["message"] = "needle two"
    post(client, run, *entries)
    opened(tab, shared_service, run)
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("needle")
    expect(tab.page.locator(".count")).to_have_text("2 of 3,000 lines")
    before = box(tab, 2000)["y"]
    tab.page.keyboard.press("Escape")
    tab.expect_lines(3000)
    expect(message(tab, 2000)).to_be_in_viewport()
    assert abs(box(tab, 2000)["y"] - before) < 20
    # the selected line counts more than the middle
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("needle")
    expect(tab.page.locator(".count")).to_have_text("2 of 3,000 lines")
    tab.page.locator('.row[data-seq="1500"] time').click()
    expect(tab.page.locator(".detail")).to_be_visible()
    tab.page.keyboard.press("Escape")
    tab.expect_lines(3000)
    expect(message(tab, 1500)).to_be_in_viewport()
    expect(tab.page.locator('.row.selected[data-seq="1500"]')).to_have_count(1)
    # a search without matches returns to where one was
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("nowhere")
    expect(tab.page.locator(".log-tab .tools")).to_contain_text("nothing matches")
    tab.page.keyboard.press("Escape")
    tab.expect_lines(3000)
    assert first_row(tab) == 1


def test_a_search_shows_matches_as_they_come_and_a_newer_one_ends_it(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    """The service reads for a bounded time: pages may be short, or empty, and have no total."""
    run = new_run(client)
    post(client, run, *lines(1, 1000))
    seqs = {1: [900, 950], 2: [], 3: [400]}

    def page(number: int) -> dict[str, Any]:
        logs = [
            {
                "seq": seq,
                "level": "info",
                "message": f"line {seq}",
                "metadata": None,
                "timestamp": "2026-01-01T00:00:00Z",
            }
            for seq in seqs[number]
        ]
        following = f"/runs/{run}/logs?q=line&before={10 - number}" if number < 3 else None
        return {"logs": logs, "total": None, "last_event_id": "0", "next": following}

    held = Held(tab.page, "**/logs?*q=line*")
    opened(tab, shared_service, run)
    tab.page.get_by_label("search lines").fill("line")
    for number, text in ((1, "2 matches so far, searching …"), (2, "2 matches so far, searching …")):
        held.wait_for(number, "the request").fulfill(json=page(number))
        expect(tab.page.locator(".count")).to_have_text(text)
    assert [seq for seq, _ in tab.rows] == [900, 950]
    third = held.wait_for(3, "the third request")
    # a live match counts, while the search goes on
    post(client, run, {"message": "line 1001"})
    expect(tab.page.locator(".count")).to_have_text("3 matches so far, searching …")
    third.fulfill(json=page(3))
    expect(tab.page.locator(".count")).to_have_text("4 of 1,001 lines")
    assert [seq for seq, _ in tab.rows] == [400, 900, 950, 1001]
    tab.page.get_by_label("search lines").fill("line 7")
    held.wait_for(4, "another search")
    with tab.page.expect_event("requestfailed") as failed:
        tab.page.get_by_label("search lines").fill("")
    assert "q=line+7" in failed.value.url
    tab.expect_lines(1001)
    # leaving the view ends its search too
    tab.page.get_by_label("search lines").fill("line 8")
    held.wait_for(5, "one more search")
    with tab.page.expect_event("requestfailed") as failed:
        tab.page.locator(".brand").click()
    assert "q=line+8" in failed.value.url


def test_a_search_goes_on_after_the_service_was_away(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    post(client, run, *lines(1, 300))
    tab.page.goto(f"{service.url}/#/runs/{run}")
    tab.expect_lines(300)
    service.terminate()
    tab.page.get_by_label("search lines").fill("line 29")
    expect(tab.page.locator(".log-tab .tools")).to_contain_text(
        "the service does not answer: trying again"
    )
    expect(tab.page.locator("#away")).to_contain_text("Start it with “athanor serve”")
    service.start()
    expect(tab.page.locator(".count")).to_have_text("11 of 300 lines")
    expect(tab.page.locator("#away")).to_be_hidden()


def test_wrapped_lines_are_shown_whole_and_scroll_without_jumps(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    entries = [{"message": f"line {n} " + "word " * (n * 7 % 60)} for n in range(1, 2001)]
    entries[1000]["message"] = TRACEBACK
    post(client, run, *entries)
    opened(tab, shared_service, run)
    tab.page.keyboard.press("w")
    expect(tab.page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")
    assert tab.rows[-1][0] == 2000
    bottom = tab.page.locator(".viewport").evaluate("view => view.getBoundingClientRect().bottom")

    def end_of_last() -> float:
        return float(tab.page.locator(".row").last.evaluate("row => row.getBoundingClientRect().bottom"))

    wait_until(lambda: abs(end_of_last() - bottom) < 1, "the end at the bottom")
    post(client, run, {"message": "new " * 200}, {"message": "last"})
    tab.expect_lines(2002)
    wait_until(lambda: tab.rows[-1][0] == 2002 and abs(end_of_last() - bottom) < 1, "the new end")
    # each move of the wheel moves the rows by exactly as many pixels
    tab.page.mouse.move(600, 500)
    for by in (-70, -333, -1000, 41, 500):
        seq = tab.rows[len(tab.rows) // 2][0]
        before = box(tab, seq)["y"]
        tab.page.mouse.wheel(0, by)
        tab.page.wait_for_function(
            """([seq, y]) => {
              const row = document.querySelector(`.row[data-seq="${seq}"] .message`);
              return !row || Math.abs(row.getBoundingClientRect().y - y) > 1;
            }""",
            arg=[seq, before],
        )
        if abs(by) < 300:
            assert abs(box(tab, seq)["y"] - (before - by)) < 1.5
    tab.page.locator(".viewport").focus()
    tab.page.keyboard.press("Home")
    assert first_row(tab) == 1
    read: dict[int, str] = {}
    while 2002 not in read:
        before_page = len(read)
        read |= dict(tab.rows)
        assert len(read) > before_page
        tab.page.keyboard.press("PageDown")
    assert sorted(read) == list(range(1, 2003))
    assert read[1001] == PLAIN
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("w")
    heights = tab.page.locator(".row").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
    assert set(heights) == {20}
    assert tab.errors == []


WHOLE = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const view = document.querySelector(".viewport").getBoundingClientRect();
  const rows = [...document.querySelectorAll(".row:not(.away)")];
  const seqs = rows.map((row) => row.line.shown.seq);
  const [first, last] = [rows[0], rows.at(-1)].map((row) => row.getBoundingClientRect());
  done({
    consecutive: seqs.every((seq, at) => seq === seqs[0] + at),
    full: first.top <= view.top + 1 && last.bottom >= view.bottom - 1,
  });
})))"""


@pytest.mark.parametrize("seed", [1, 2])
def test_no_way_of_moving_leaves_a_gap(
    seed: int, shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    for first in range(1, 5001, 2500):
        entries = [{"message": f"line {n} " + "word " * (n * 7 % 60)} for n in range(first, first + 2500)]
        post(client, run, *entries)
    opened(tab, shared_service, run, "?wrap=1")
    chance = random.Random(seed)
    keys = ["PageUp", "PageDown", "ArrowUp", "ArrowDown", "Home", "End", *"wfjkgG", "Escape"]
    done: list[Any] = []
    for step in range(60):
        tab.page.locator(".viewport").focus()
        if step % 6 == 0:
            done.append(chance.randint(-3000, 3000))
            tab.page.mouse.move(600, 450)
            tab.page.mouse.wheel(0, done[-1])
        elif step % 6 == 3:
            done.append(chance.random())
            tab.page.locator(".viewport").evaluate(
                "(view, share) => { view.scrollTop = share * view.scrollHeight }", done[-1]
            )
        else:
            done.append(chance.choice(keys))
            tab.page.keyboard.press(str(done[-1]))
        assert tab.page.evaluate(WHOLE) == {"consecutive": True, "full": True}, done
    assert tab.errors == []


def test_a_filter_misses_no_line_while_the_service_is_away(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    post(client, run, *lines(1, 100))
    tab.page.goto(f"{service.url}/#/runs/{run}?q=needle")
    expect(tab.page.locator(".count")).to_have_text("0 of 100 lines")
    tab.expect_state("live")
    service.kill()
    tab.expect_state("reconnecting")
    service.start()
    client = service.client()
    post(client, run, {"message": "needle 1"}, {"message": "no"})
    expect(tab.page.locator(".count")).to_have_text("1 of 102 lines")
    post(client, run, {"message": "needle 2"})
    expect(tab.page.locator(".count")).to_have_text("2 of 103 lines")
    assert tab.rows == [(101, "needle 1"), (103, "needle 2")]


def test_dates_are_shown_where_the_day_changes(
    shared_service: Service, client: httpx.Client, tabs: Tabs
) -> None:
    run = new_run(client)
    times = [
        "2024-05-01T21:59:00Z",
        "2024-05-01T22:00:01Z",
        "2024-05-02T21:59:00Z",
        "2024-05-02T22:30:00Z",
    ]
    post(client, run, *({"message": f"at {at}", "timestamp": at} for at in times))
    tab = tabs(timezone_id="Europe/Berlin", locale="en-GB")
    opened(tab, shared_service, run)
    # in the reader's time zone, midnight is at 22:00 UTC
    assert tab.page.locator(".row .day").evaluate_all(
        "days => days.map((day) => day.hidden ? '' : day.textContent)"
    ) == [
        "1 May 2024",
        "2 May 2024",
        "",
        "3 May 2024",
    ]
    # the lines that are shown count, not the ones between them
    tab.page.get_by_label("search lines").fill("2024-05-01")
    expect(tab.page.locator(".count")).to_have_text("2 of 4 lines")
    assert tab.page.locator(".row .day").all_text_contents() == ["1 May 2024", "2 May 2024"]


@pytest.mark.parametrize("width", [1440, 1200, 1024, 390])
def test_a_search_moves_no_button(
    shared_service: Service, client: httpx.Client, tabs: Tabs, width: int
) -> None:
    """A button that moves between the press and the release of the mouse misses its click."""
    run = new_run(client)
    post(client, run, *lines(1, 3000), {"message": "a warning", "level": "warn"})
    tab = tabs(viewport={"width": width, "height": 844})
    opened(tab, shared_service, run)
    # the shortcut to the warnings is there
    expect(tab.page.get_by_role("button", name="1 warning")).to_be_visible()
    places = """() => [...document.querySelectorAll(".tools button, .tools select")].map((each) => {
      const { x, y, width } = each.getBoundingClientRect();
      return [each.textContent.slice(0, 8), x, y, width];
    })"""
    before = tab.page.evaluate(places)
    count = tab.page.locator(".count")
    for text, found in (("line 2", "1,111 of 3,001 lines"), ("absent", "0 of 3,001 lines")):
        held = Held(tab.page, "**/logs?*q=*")
        tab.page.get_by_label("search lines").fill(text)
        expect(count).to_have_text("0 matches so far, searching …")
        assert tab.page.evaluate(places) == before
        held.wait_for(1, "the request")
        # a slow search takes several requests
        held.release()
        expect(count).to_have_text(found)
        assert tab.page.evaluate(places) == before
    expect(tab.page.locator(".log-tab .tools")).to_contain_text("nothing matches")
    assert tab.errors == []


def test_the_address_has_level_search_line_and_place(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    entries: list[dict[str, Any]] = lines(1, 3000)
    for entry in entries[::2]:
        entry |= {"level": "warn", "metadata": {"stream": "stderr"}}
    post(client, run, *entries)
    opened(tab, shared_service, run)
    tab.page.get_by_label("lowest level").select_option("warn")
    tab.page.get_by_label("output").select_option("stderr")
    tab.page.get_by_label("search lines").fill("line 2")
    tab.page.get_by_role("button", name="Wrap").click()
    expect(tab.page.locator(".count")).to_have_text("555 of 3,000 lines")
    tab.page.keyboard.press("g")
    tab.page.locator(".viewport").evaluate("view => { view.scrollTop = 2000 }")
    wait_until(lambda: first_row(tab) > 100, "another place")
    tab.page.locator(".row time").nth(5).click()
    expect(tab.page.locator(".detail")).to_be_visible()
    rows = tab.rows
    expect(tab.page).to_have_url(re.compile(f"line=.*at={rows[0][0]}"))
    other = tab.another(tab.page.url)
    expect(other.page.locator(".count")).to_have_text("555 of 3,000 lines")
    wait_until(lambda: other.rows == rows, "the same rows")
    expect(other.page.get_by_label("lowest level")).to_have_value("warn")
    expect(other.page.get_by_label("output")).to_have_value("stderr")
    expect(other.page.get_by_label("search lines")).to_have_value("line 2")
    expect(other.page.get_by_role("button", name="Wrap")).to_have_attribute("aria-pressed", "true")
    assert (
        other.page.locator(".row.selected").text_content()
        == tab.page.locator(".row.selected").text_content()
    )
    expect(other.page.locator(".detail")).to_be_visible()
    # the tabs of the run keep it
    other.page.keyboard.press("2")
    other.page.keyboard.press("1")
    assert sorted(re.split("[?&]", other.page.url)[1:]) == sorted(re.split("[?&]", tab.page.url)[1:])


def test_back_returns_to_where_one_was(shared_service: Service, client: httpx.Client, tab: Tab) -> None:
    run = long_run(client)
    opened(tab, shared_service, run)
    tab.page.locator(".viewport").evaluate("view => { view.scrollTop = 12345 * 20 }")
    wait_until(lambda: first_row(tab) == 12_346, "the place")
    expect(tab.page).to_have_url(re.compile(r"\?at=12346$"))
    tab.page.locator("h1 a").click()
    expect(tab.page.locator(".viewport")).to_have_count(0)
    tab.back()
    wait_until(lambda: first_row(tab) == 12_346, "the same place")
    expect(tab.page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "false")
    # the end has no place in the address: it is followed
    tab.page.keyboard.press("G")
    expect(tab.page).not_to_have_url(re.compile("at="))


def test_a_link_to_a_line_shows_it_in_the_middle(
    shared_service: Service, client: httpx.Client, reader: Tab
) -> None:
    run = long_run(client)
    post(client, run, {"message": TRACEBACK, "level": "error"})
    opened(reader, shared_service, run, "?line=3000&wrap=1")
    for seq, row in ((3000, "line 3000"), (20_001, LAST)):
        opened(reader, shared_service, run, f"?line={seq}")
        selected = reader.page.locator(".row.selected")
        expect(selected).to_contain_text(row)
        expect(reader.page.locator(".detail .whole")).to_be_visible()
        expect(selected).to_be_in_viewport(ratio=1)
    reader.page.get_by_role("button", name="Copy link").click()
    expect(reader.page.get_by_role("button", name="Copied")).to_be_visible()
    link = reader.page.evaluate("navigator.clipboard.readText()")
    colleague = reader.another(link)
    expect(colleague.page.locator(".detail .whole")).to_have_text(PLAIN)
    expect(colleague.page.locator(".row.selected")).to_be_in_viewport(ratio=1)


def test_integers_in_metadata_are_exact(shared_service: Service, client: httpx.Client, tab: Tab) -> None:
    run = new_run(client)
    exact = (
        '{"big":12345678901234567890123,"deep":[-9007199254740993,{"at":18446744073709551615}],"small":7}'
    )
    body = f'{{"message": "stored", "metadata": {exact}}}'
    headers = {"Content-Type": "application/json"}
    client.post(f"/runs/{run}/logs", content=body, headers=headers).raise_for_status()
    opened(tab, shared_service, run)
    tab.expect_state("live")
    client.post(f"/runs/{run}/logs", content=body.replace("stored", "live"), headers=headers)
    tab.expect_lines(2)
    expect(tab.page.locator(".row .metadata")).to_have_text([exact, exact])
    tab.page.get_by_label("search lines").fill("18446744073709551615")
    expect(tab.page.locator(".count")).to_contain_text(" of 2 lines")
    client.post(f"/runs/{run}/logs", content=body.replace("stored", "live"), headers=headers)
    expect(tab.page.locator('.row[data-seq="3"] mark')).to_have_text("18446744073709551615")
    tab.page.locator('.row[data-seq="3"] time').click()
    whole = tab.page.locator(".detail .whole").nth(1)
    expect(whole).to_contain_text("12345678901234567890123")
    expect(whole).to_contain_text("-9007199254740993")


def test_warnings_and_errors_are_counted_and_one_click_away(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    levels = ["debug", "info", "warn", "error", "error"]
    post(client, run, *({"message": f"a {level}", "level": level} for level in levels * 20))
    opened(tab, shared_service, run)
    tab.expect_state("live")
    errors = tab.page.get_by_role("button", name="40 errors")
    expect(tab.page.get_by_role("button", name="20 warnings")).to_be_visible()
    errors.click()
    expect(errors).to_have_attribute("aria-pressed", "true")
    expect(tab.page.locator(".count")).to_have_text("40 of 100 lines")
    assert {text for _, text in tab.rows} == {"a error"}
    expect(tab.page).to_have_url(re.compile("level=error"))
    post(client, run, {"message": "one more", "level": "error"})
    more = tab.page.get_by_role("button", name="41 errors")
    more.click()
    expect(more).to_have_attribute("aria-pressed", "false")
    tab.expect_lines(101)


def test_a_search_finds_what_is_seen_and_metadata(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    """The service's search finds what the page's does in live lines: each search is made both ways."""
    run = new_run(client)
    tab.page.goto(f"{shared_service.url}/#/runs/{run}")
    tab.expect_state("live")
    found: list[dict[str, Any]] = [
        {"message": "\x1b[1mCU\x1b[31mDA\x1b[0m out of memory"},
        {"message": "x", "metadata": {"why": 'CUDA "quoted" out'}},
        {"message": "x\x1b]0;a title\x07y \x1b]0;no end"},
        {"message": "Ünïcode \u00e9", "metadata": {"key": ["ü", {"n": 12345678901234567890}]}},
        {"message": "nothing", "metadata": None},
    ]
    searches = [
        "cuda out",
        'a "QUOTED" o',
        'a \\"quoted',
        "xy",
        "a title",
        "no end",
        "ü",
        "Ü",
        "É",
        '{"n":1234567890123456789',
        "null",
    ]
    post(client, run, *found)
    tab.expect_lines(5)
    stored = {}
    for text in searches:
        page = client.get(f"/runs/{run}/logs", params={"q": text}).json()
        stored[text] = [entry["seq"] for entry in page["logs"]]
    for text in searches:
        tab.page.get_by_label("search lines").fill(text)
        shown = "rows => rows.map((row) => +row.dataset.seq)"
        rows = tab.page.locator(".row")
        wait_until(lambda: rows.evaluate_all(shown) == stored[text], f"the matches of {text}")  # noqa: B023
        expect(tab.page.locator(".count")).to_have_text(f"{len(stored[text])} of 5 lines")
        live = tab.page.evaluate(
            """async ([text, entries]) => {
              const { Matches } = await import("./static/log/matches.js");
              const { Needle } = await import("./static/log/needle.js");
              const matches = new Matches("x", { q: text, needle: new Needle(text) }, () => {});
              return entries.map((entry, at) => matches.matches(entry) && at + 1).filter(Boolean);
            }""",
            [text, [*found[:3], found[4]]],
        )
        assert live == [seq - (seq == 5) for seq in stored[text] if seq != 4], text
    assert tab.errors == []


def test_screen_readers_hear_of_new_lines_now_and_then(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)
    opened_at = f"{shared_service.url}/#/runs/{run}"
    tab.page.goto(opened_at)
    tab.expect_state("live")
    post(client, run, *lines(1, 40), {"message": "\x1b[31mno disk\x1b[0m", "level": "error"})
    tab.expect_lines(41)
    expect(tab.page.locator(".log .unseen")).to_have_text("41 new lines, error: no disk")
    assert tab.page.get_by_role("log", name="log lines").get_attribute("aria-live") == "off"
