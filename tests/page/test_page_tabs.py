"""Several tabs of one browser: they share a stream, and each shows its own run."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Dialog, Route, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service, metric, new_run

NDJSON = {"Content-Type": "application/x-ndjson"}


def post(client: httpx.Client, run: str, first: int, count: int) -> None:
    lines = "".join(f'{{"message": "line {number}"}}\n' for number in range(first, first + count))
    client.post(f"/runs/{run}/logs", content=lines, headers=NDJSON).raise_for_status()


def expected(count: int) -> list[tuple[int, str]]:
    return [(seq, f"line {seq}") for seq in range(1, count + 1)]


def expect_streams(service: Service, count: int) -> None:
    wait_until(lambda: metric(service, "athanor_subscribers") == count, f"{count} streams")


def is_sent(service: Service, client: httpx.Client, run: str) -> bool:
    """Whether a line of this run is sent to any stream."""
    before = metric(service, "athanor_frames_total")
    post(client, run, 0, 1)
    return metric(service, "athanor_frames_total") > before


@pytest.mark.long
def test_seven_tabs_share_one_stream_and_each_works(service: Service, tab: Tab) -> None:
    client = service.client()
    runs = [new_run(client) for _ in range(5)]
    tab.page.goto(service.url)
    shown = [*runs, runs[0]]
    tabs = [tab.another(f"{service.url}/#/runs/{run}") for run in shown]
    for each in (tab, *tabs):
        each.expect_state("live")
    expect_streams(service, 1)
    for number, run in enumerate(runs):
        post(client, run, 1, 3 + number)
    service.terminate()
    for each in (tab, *tabs):
        each.expect_state("reconnecting")
    client = service.start().client()
    for number, run in enumerate(runs):
        post(client, run, 4 + number, 7)
    for each, run in zip(tabs, shown, strict=True):
        each.expect_lines(10 + runs.index(run))
        assert each.rows == expected(10 + runs.index(run))
        each.expect_state("live")
        each.page.get_by_label("search lines").fill("LINE 7")
        expect(each.page.locator(".count")).to_contain_text("1 of ")
    expect_streams(service, 1)
    for each, run in list(zip(tabs, shown, strict=True))[:5]:
        each.page.get_by_role("button", name="Cancel").click()
        each.page.get_by_role("button", name="End this run?").click()
        expect(each.page.get_by_role("button", name="Cancelling…")).to_be_disabled()
        assert client.get(f"/runs/{run}").json()["cancel_requested_at"]
    # the sixth tab shows the first one's run
    expect(tabs[5].page.get_by_role("button", name="Cancelling…")).to_be_disabled()
    client.post(f"/runs/{runs[1]}/cancelled").raise_for_status()
    tabs[1].expect_state("ended")
    assert is_sent(service, client, runs[0])
    for each in tabs:
        each.page.close()
    wait_until(lambda: not is_sent(service, client, runs[0]), "a stream without the closed tabs' runs")
    client.post(f"/runs/{runs[0]}/complete").raise_for_status()
    expect(tab.page.locator(".pill.completed").first).to_be_visible()
    expect_streams(service, 1)
    assert [each.errors for each in (tab, *tabs)] == [[]] * 7
    tab.page.close()
    expect_streams(service, 0)


def test_a_tab_that_joins_with_an_old_cursor_misses_nothing(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    """The stream of the other tabs is ahead of it, on this run and on another one."""
    run, other = new_run(client), new_run(client)
    post(client, run, 1, 10)
    tab.page.goto(f"{shared_service.url}/#/runs/{run}")
    ahead = tab.another(f"{shared_service.url}/#/runs/{other}")
    ahead.expect_state("live")
    late = Tab(tab.page.context.new_page())

    def hold(route: Route) -> None:
        response = route.fetch()
        if "/logs?" in route.request.url:
            post(client, run, 11, 30)
            post(client, other, 1, 30)
            # the others have these lines before the late tab has its cursor
            tab.expect_lines(40)
            ahead.expect_lines(30)
        route.fulfill(response=response)

    late.page.route(f"**/runs/{run}/logs?*", hold, times=1)
    late.page.goto(f"{shared_service.url}/#/runs/{run}")
    late.expect_lines(40)
    late.expect_state("live")
    post(client, run, 41, 1)
    for each in (tab, late):
        each.expect_lines(41)
        assert each.read() == expected(41)
    post(client, other, 31, 1)
    ahead.expect_lines(31)
    assert ahead.read() == expected(31)


JOIN = """async ([topic, cursor]) => {
  // the page's own module, whose worker is that of the page
  const { src } = document.querySelector("script[type=module]");
  const { Stream } = await import(new URL("stream/stream.js", src));
  window.got = { seqs: [], states: [] };
  window.stream = new Stream([topic], cursor, {
    event: (data) => got.seqs.push(...(data.logs ?? [data.log]).map(({ seq }) => seq)),
    state: (name) => got.states.push(name),
    resume: async () => { throw new Error("there was no pause") },
  });
}"""


def test_each_stream_gets_every_entry_after_its_cursor_once_and_in_order(
    service: Service, tab: Tab
) -> None:
    """Whatever the cursors with which the others join, while entries arrive."""
    # the hub has a stream read its lists anew if thousands of events follow its cursor
    client = service.client()
    run = new_run(client)
    sent = 0
    cursors = {0: "0"}

    def send(batches: int) -> None:
        nonlocal sent
        for size in range(1, batches + 1):
            body = "x\n" * size
            response = client.post(
                f"/runs/{run}/logs", content=body, headers={"Content-Type": "text/plain"}
            )
            sent += size
            cursors[sent] = response.raise_for_status().json()["last_event_id"]

    send(5)
    # a path that no view has shows the overview, whose stream is one more
    tabs = [tab, *(tab.another(f"{service.url}/") for _ in range(3))]
    tab.page.goto(service.url)
    begins = []
    for each, after in zip(tabs, (6, 0, 15, 3), strict=True):
        begins.append(after)
        each.expect_state("live")
        each.page.evaluate(JOIN, [f"experiments:run:{run}", cursors[after]])
        # some arrive before the shared stream has reconnected, and some after it
        send(8)
        wait_until(lambda: tabs[0].page.evaluate("got.seqs.at(-1)") == sent, "the newest entry")
        send(3)
    for each, begin in zip(tabs, begins, strict=True):
        wait_until(lambda: each.page.evaluate("got.seqs.at(-1)") == sent, "the newest entry")  # noqa: B023
        assert each.page.evaluate("got.seqs") == list(range(begin + 1, sent + 1))
        assert set(each.page.evaluate("got.states")) == {"live"}
    assert metric(service, "athanor_subscribers") == 1
    # now one joins with an old cursor after entries that the others have missed: they come in one event
    # with entries that the others have
    for each in tabs[1:]:
        each.page.evaluate("stream.close()")
    tab.page.evaluate("dispatchEvent(new Event('offline'))")
    wait_until(lambda: tab.page.evaluate("got.states.includes('reconnecting')"), "the loss")
    send(1)
    tabs[1].page.evaluate(JOIN, [f"experiments:run:{run}", "0"])
    for each, begin in ((tab, begins[0]), (tabs[1], 0)):
        wait_until(lambda: each.page.evaluate("got.seqs.at(-1)") == sent, "the newest entry")  # noqa: B023
        assert each.page.evaluate("got.seqs") == list(range(begin + 1, sent + 1))


def test_a_tab_of_a_quiet_run_does_not_cause_a_long_replay_of_a_busy_one(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    quiet, busy = new_run(client), new_run(client)
    post(client, quiet, 1, 3)
    tab.page.goto(f"{shared_service.url}/#/runs/{quiet}")
    tab.expect_state("live")
    tab.expect_lines(3)
    for first in range(1, 60_001, 10_000):
        post(client, busy, first, 10_000)
    pages = metric(shared_service, "athanor_replay_pages_total")
    with tab.page.expect_request("**/logs?*"):
        follower = tab.another(f"{shared_service.url}/#/runs/{busy}")
    follower.expect_state("live")
    post(client, quiet, 4, 1)
    post(client, busy, 60_001, 1)
    tab.expect_lines(4)
    follower.expect_lines(60_001)
    assert tab.read() == expected(4)
    # 60,000 events are thirty pages
    assert metric(shared_service, "athanor_replay_pages_total") - pages < 15


def test_a_run_that_is_deleted_does_not_stop_the_stream_of_other_tabs(service: Service, tab: Tab) -> None:
    client = service.client()
    kept, gone = new_run(client), new_run(client, start=False)
    tab.page.goto(f"{service.url}/#/runs/{kept}")
    other = tab.another(f"{service.url}/#/runs/{gone}")
    other.expect_state("live")
    service.terminate()
    other.expect_state("reconnecting")
    # a client deletes it before the tabs are back
    listening = service.port
    service.port = 0
    service.start().client().delete(f"/runs/{gone}").raise_for_status()
    service.terminate()
    service.port = listening
    client = service.start().client()
    other.expect_state("not found")
    post(client, kept, 1, 5)
    tab.expect_lines(5)
    tab.expect_state("live")


@pytest.mark.long
def test_a_tab_that_does_not_answer_is_left_out_and_comes_back(service: Service, tab: Tab) -> None:
    client = service.client()
    run = new_run(client)
    tab.page.goto(service.url)
    other = tab.another(f"{service.url}/#/runs/{run}")
    other.expect_state("live")
    dialogs: list[Dialog] = []
    other.page.on("dialog", lambda dialog: dialogs.append(dialog))
    # a dialog stops all scripts of its tab
    other.page.evaluate("setTimeout(() => alert('wait'))")
    wait_until(lambda: tab.page.evaluate("1") == 1 and len(dialogs) == 1, "the dialog")
    assert is_sent(service, client, run)

    def left_out() -> bool:
        tab.page.wait_for_timeout(1000)
        return not is_sent(service, client, run)

    wait_until(left_out, "a stream without the run")
    dialogs[0].dismiss()
    count = client.get(f"/runs/{run}").json()["log_count"]
    other.expect_lines(count)
    post(client, run, 0, 1)
    other.expect_lines(count + 1)
