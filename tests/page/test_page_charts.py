"""What the Results tab and a comparison show, and how they are read, by pointer and by keyboard."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.service import Service, new_run

Tabs = Callable[..., Tab]
Post = Callable[..., None]


@pytest.fixture
def run(client: httpx.Client) -> str:
    return new_run(client)


@pytest.fixture
def post(client: httpx.Client, run: str) -> Post:
    """Posts values of a key, at steps 0, 1, 2 … or at the given ones."""

    def post(key: str, values: list[Any], steps: list[float] | None = None) -> None:
        at = range(len(values)) if steps is None else steps
        results = [
            {"key": key, "value": value, "step": step} for value, step in zip(values, at, strict=True)
        ]
        client.post(f"/runs/{run}/results", json=results).raise_for_status()

    return post


def opened(service: Service, tab: Tab, run: str, query: str = "") -> Page:
    tab.page.goto(f"{service.url}/#/runs/{run}/results{query}")
    return tab.page


def chart(page: Page, key: str) -> Locator:
    return page.get_by_role("region", name=key, exact=True)


def canvas(page: Page, key: str) -> Locator:
    return page.get_by_role("application", name=f"curve of {key}", exact=True)


def description(page: Page, key: str) -> Locator:
    """What a screen reader says of the chart."""
    return chart(page, key).locator("p.unseen")


def range_of(page: Page, key: str, axis: str) -> tuple[float, float]:
    """The range of an axis, once the chart is drawn."""
    expect(chart(page, key)).to_have_attribute(f"data-{axis}", re.compile(" "))
    low, high = (chart(page, key).get_attribute(f"data-{axis}") or "").split()
    return float(low), float(high)


def test_keys_with_a_prefix_are_a_group_whose_state_is_in_the_address(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    for key in ("train/loss", "train/acc", "val/loss", "lr"):
        post(key, [3, 2, 1])
    page = opened(shared_service, tab, run)
    headings = page.locator(".group h2")
    expect(headings).to_have_text(["no prefix", "train", "val"])
    expect(chart(page, "train/loss")).to_be_visible()
    page.locator("summary", has_text="train").press("Enter")
    expect(chart(page, "train/loss")).to_have_count(0)
    page.wait_for_url(re.compile(r"group=train"))
    page.reload()
    expect(chart(page, "val/loss")).to_be_visible()
    expect(chart(page, "train/loss")).to_have_count(0)
    page.locator("summary", has_text="train").click()
    expect(chart(page, "train/loss")).to_be_visible()
    assert tab.errors == []


def test_a_filter_shows_the_keys_that_have_all_its_words(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    for key in ("train/loss", "train/acc", "val/loss"):
        post(key, [1, 2])
    page = opened(shared_service, tab, run)
    expect(page.locator(".chart")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("LOSS tr")
    expect(page.locator(".chart h3")).to_have_text(["train/loss"])
    expect(page.get_by_text("1 key of 3 matches")).to_be_visible()
    page.wait_for_url(re.compile(r"filter=LOSS\+tr"))
    page.reload()
    expect(page.locator(".chart h3")).to_have_text(["train/loss"])
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.locator(".chart")).to_have_count(3)


def test_a_single_value_is_a_tile_and_becomes_a_curve_with_the_second(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("test/acc", [0.875], [7])
    page = opened(shared_service, tab, run)
    tile = page.locator(".tile")
    expect(tile.locator("strong")).to_have_text("0.875")
    expect(page.locator(".chart")).to_have_count(0)
    post("big", [9007199254740993])
    page.reload()
    expect(tile.locator("strong")).to_have_text(["9007199254740993", "0.875"])
    post("test/acc", [0.9], [8])
    expect(description(page, "test/acc")).to_contain_text("2 points, step 7 to 8")
    expect(tile).to_have_count(1)


def test_values_that_are_not_finite_are_counted_and_read(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", [1, "NaN", 3, "Infinity", "-Infinity", 2])
    post("nothing", ["NaN", "NaN"])
    page = opened(shared_service, tab, run)
    expect(description(page, "loss")).to_contain_text("6 points, step 0 to 5, least 1, greatest 3")
    expect(description(page, "loss")).to_contain_text("3 values not finite")
    expect(description(page, "nothing")).to_contain_text("newest NaN, 2 values not finite")
    canvas(page, "loss").focus()
    heard = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        heard.append(page.locator(".chart-grid > [aria-live]").text_content())
    assert heard == [
        f"{value} at step {step}" for step, value in enumerate(["1", "NaN", "3", "∞", "-∞", "2"])
    ]
    assert tab.errors == []


def test_steps_that_go_back_are_read_in_order_of_arrival(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", [5, 4, 3, 4.5, 2], [0, 10, 20, 5, 15])
    page = opened(shared_service, tab, run)
    expect(description(page, "loss")).to_contain_text("5 points, step 0 to 15, least 2, greatest 5")
    assert range_of(page, "loss", "x") == (0, 20)
    canvas(page, "loss").focus()
    page.keyboard.press("Home")
    heard = []
    for _ in range(5):
        heard.append(page.locator(".chart-grid > [aria-live]").text_content())
        page.keyboard.press("ArrowRight")
    steps = [0, 10, 20, 5, 15]
    values = ["5", "4", "3", "4.5", "2"]
    assert heard == [f"{value} at step {step}" for value, step in zip(values, steps, strict=True)]


def test_a_log_scale_is_of_one_chart_and_says_what_it_hides(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", [0.001, 0.1, 10, 0, -1])
    post("acc", [0.1, 0.2])
    page = opened(shared_service, tab, run)
    page.get_by_role("button", name="log scale of loss").click()
    expect(chart(page, "loss")).to_contain_text("2 values of 0 or less can't be shown")
    low, high = range_of(page, "loss", "y")
    assert 0.0001 < low < 0.001 < 10 < high < 100
    expect(page.get_by_role("button", name="log scale of acc")).to_have_attribute("aria-pressed", "false")
    page.wait_for_url(re.compile(r"log=loss"))
    page.reload()
    expect(page.get_by_role("button", name="log scale of loss")).to_have_attribute("aria-pressed", "true")


def test_a_curve_is_drawn_over_steps_time_the_clock_or_another_metric(
    shared_service: Service, client: httpx.Client, tab: Tab, run: str
) -> None:
    began = 1_700_000_000
    results = [
        {"key": key, "value": value, "step": step * 10, "timestamp": f"2023-11-14T22:{13 + step:02}:20Z"}
        for step in range(5)
        for key, value in {"loss": 5 - step, "samples": step * 1000}.items()
    ]
    client.post(f"/runs/{run}/results", json=results).raise_for_status()
    page = opened(shared_service, tab, run)
    over = page.get_by_label("over")

    def ranges() -> tuple[float, float]:
        return range_of(page, "loss", "x")

    assert ranges() == (0, 40)
    over.select_option("clock")
    wait_until(lambda: ranges() == (began, began + 240), "the time of day")
    over.select_option("time")
    wait_until(lambda: ranges()[1] - ranges()[0] == 240, "the time since the run began")
    over.select_option("samples")
    wait_until(lambda: ranges() == (0, 4000), "the other metric")
    page.wait_for_url(re.compile(r"x=metric%3Asamples"))
    page.reload()
    wait_until(lambda: ranges() == (0, 4000), "the other metric again")
    expect(description(page, "loss")).to_contain_text("5 points, samples 0 to 4,000")
    assert tab.errors == []


def test_settings_stay_when_the_log_is_looked_at_between(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", [1, 2, 3])
    page = opened(shared_service, tab, run, "?smooth=0.5&log=loss&x=time")
    slider = page.get_by_label("smoothing")
    expect(slider).to_have_value("0.5")
    expect(page.get_by_label("over")).to_have_value("time")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url(re.compile(r"smooth=0.51"))
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Logs").click()
    page.wait_for_url(re.compile(r"/logs\?"))
    page.get_by_role("tab", name=re.compile("Results")).click()
    page.wait_for_url(re.compile(r"/results\?.*smooth=0.51"))
    assert {"x=time", "smooth=0.51", "log=loss"} == set(page.url.partition("?")[2].split("&"))
    expect(slider).to_have_value("0.51")
    assert tab.errors == []


def test_a_key_that_is_new_in_a_long_group_gets_its_chart(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    """Charts are made in parts of 60, the next part when its place comes into view."""
    for number in range(60):
        post(f"train/{number:02}", [1, 2])
    page = opened(shared_service, tab, run)
    expect(page.locator(".chart")).to_have_count(60)
    tab.expect_state("live")
    for number in range(60, 70):
        post(f"train/{number:02}", [1, 2, 3])
    expect(page.get_by_text("70 keys")).to_be_visible()
    chart(page, "train/59").scroll_into_view_if_needed()
    expect(page.locator(".chart")).to_have_count(70)
    chart(page, "train/69").scroll_into_view_if_needed()
    expect(description(page, "train/69")).to_contain_text("3 points")
    assert tab.errors == []


def test_an_enlarged_chart_is_in_the_address_and_closes_by_keyboard(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", [1, 2, 3])
    page = opened(shared_service, tab, run)
    expect(description(page, "loss")).to_contain_text("3 points")
    canvas(page, "loss").press("Enter")
    dialog = page.get_by_role("dialog", name="enlarged chart")
    expect(dialog.get_by_role("application")).to_be_focused()
    page.wait_for_url(re.compile(r"chart=loss"))
    page.keyboard.press("End")
    expect(dialog.locator(".reading")).to_contain_text("3 at 2")
    page.reload()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.wait_for_url(lambda url: "chart=" not in url)
    assert tab.errors == []


def test_a_zoom_loads_the_points_of_its_range_and_live_points_appear_in_it(
    shared_service: Service, tab: Tab, run: str, post: Post
) -> None:
    post("loss", list(range(10_000)))
    page = opened(shared_service, tab, run)
    expect(description(page, "loss")).to_contain_text("10,000 points, step 0 to 9,999")
    expect(description(page, "loss")).to_contain_text("of them drawn")
    curve = canvas(page, "loss")
    box = curve.bounding_box()
    assert box is not None
    # the right end, up to beyond the newest point
    page.mouse.move(box["x"] + box["width"] * 0.93, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"], box["y"] + 60, steps=3)
    page.mouse.up()
    wait_until(lambda: range_of(page, "loss", "x")[0] > 9_000, "the zoom")
    low, high = range_of(page, "loss", "x")
    assert low < high <= 10_000
    expect(description(page, "loss")).not_to_contain_text("of them drawn")
    page.wait_for_url(re.compile(r"zoom="))
    page.reload()
    expect(description(page, "loss")).not_to_contain_text("of them drawn")
    assert range_of(page, "loss", "x") == (low, high)
    before = chart(page, "loss").get_attribute("data-points")
    post("loss", [0.25], [high - 1])
    wait_until(lambda: chart(page, "loss").get_attribute("data-points") != before, "the live point")
    expect(description(page, "loss")).to_contain_text("least 0.25")
    curve.press("Escape")
    expect(description(page, "loss")).to_contain_text("10,001 points")
    assert tab.errors == []


def test_smoothing_of_a_thinned_curve_has_no_bias(shared_service: Service, tab: Tab) -> None:
    """It differs from the mean over all points by less than the noise that is left in both."""
    tab.page.goto(shared_service.url)
    script = """async (ratio) => {
      const { Series } = await import("/static/results/series.js");
      const { smoothed } = await import("/static/results/smooth.js");
      const [whole, thin] = [new Series(null, "step", 1e9), new Series(null, "step", 400)];
      let state = 7;
      let worst = 0;
      for (let seq = 1; seq <= 20000; seq += 1) {
        state = (state * 1664525 + 1013904223) % 2 ** 32;
        // rare high peaks, which the least and greatest values alone would make too frequent
        const value = state % 50 === 0 ? 100 : 0;
        for (const series of [whole, thin]) series.append({ seq, step: seq, value });
      }
      const [one, other] = [smoothed(whole, ratio), smoothed(thin, ratio)];
      const mean = (values) => values.reduce((sum, each) => sum + each, 0) / values.length;
      return { points: thin.points, drawn: thin.ys.length, mean: thin.mean, exact: whole.mean,
        whole: mean(one.values), thin: mean(other.values) };
    }"""
    found = tab.page.evaluate(script, 0.999)
    assert found["points"] == 20_000
    assert found["drawn"] <= 800
    assert math.isclose(found["mean"], found["exact"], rel_tol=1e-9)
    assert abs(found["thin"] / found["whole"] - 1) < 0.15, found


def test_a_thinned_series_keeps_the_extremes_and_the_ends(shared_service: Service, tab: Tab) -> None:
    """Of random series with non-finite values, however often they were thinned."""
    tab.page.goto(shared_service.url)
    script = """async () => {
      const { Series } = await import("/static/results/series.js");
      let state = 3;
      const random = () => ((state = (state * 1664525 + 1013904223) >>> 0) / 2 ** 32);
      const wrong = [];
      for (let round = 0; round < 60; round += 1) {
        const most = 8 + Math.floor(random() * 200);
        const count = Math.floor(random() * 5000) + 1;
        const series = new Series(null, "step", most);
        const [values, kinds] = [[], new Set()];
        for (let seq = 1; seq <= count; seq += 1) {
          const value = random() < 0.02 ? ["NaN", "Infinity", "-Infinity"][seq % 3] : random() - 0.5;
          if (typeof value === "number") values.push(value);
          else kinds.add(value);
          series.append({ seq, value });
          // again: it is there already
          series.append({ seq, value });
        }
        const finite = series.ys.filter(Number.isFinite);
        const sum = (list) => list.reduce((one, other) => one + other, 0);
        const isRight = series.points === count && series.ys.length <= 2 * most + 16
          && sum(series.listed) === series.ys.length && series.listed.length === series.sizes.length
          && Math.min(...finite) === Math.min(...values) && Math.max(...finite) === Math.max(...values)
          && finite[0] === values[0] && finite.at(-1) === values.at(-1)
          && [...kinds].every((kind) => series.ys.some((y) => String(y) === kind))
          && series.xs.every((x, at) => at === 0 || x > series.xs[at - 1]);
        if (!isRight) wrong.push([most, count, series.points, series.ys.length]);
      }
      return wrong;
    }"""
    assert tab.page.evaluate(script) == []


def test_matrices_tables_and_other_values_are_shown_as_such_and_exactly(
    shared_service: Service, client: httpx.Client, tab: Tab, run: str, post: Post
) -> None:
    post("confusion", [[[5, 1], [2, 7]], [[6, 0], [1, 8]]])
    rows = [{"id": n, "text": f"row {n}"} for n in range(150)]
    post("samples", [rows])
    body = '{"key": "ids", "value": {"big": 9007199254740993, "deep": {"er": [1, 2]}}, "step": 1}'
    client.post(
        f"/runs/{run}/results", content=body, headers={"Content-Type": "application/json"}
    ).raise_for_status()
    page = opened(shared_service, tab, run)
    matrix = chart(page, "confusion").locator("table").first
    # the newest comes first, and is open
    expect(matrix.locator("td")).to_have_text(["6", "0", "1", "8"])
    expect(chart(page, "confusion").locator("details")).to_have_count(2)
    chart(page, "samples").scroll_into_view_if_needed()
    expect(chart(page, "samples").locator("thead th")).to_have_text(["", "id", "text"])
    expect(chart(page, "samples").locator("tbody tr")).to_have_count(100)
    chart(page, "samples").get_by_role("button", name="50 more rows").click()
    expect(chart(page, "samples").locator("tbody tr")).to_have_count(150)
    chart(page, "ids").locator("summary").click()
    expect(chart(page, "ids").locator(".leaf").first).to_have_text("big: 9007199254740993")
    post("confusion", [[[9, 9], [9, 9]]], [2])
    expect(chart(page, "confusion").locator("details")).to_have_count(3)
    expect(chart(page, "confusion").locator("summary").first).to_contain_text("step 2")
    assert tab.errors == []


def test_three_thousand_keys_make_what_is_seen_only(
    shared_service: Service, client: httpx.Client, tab: Tab, run: str
) -> None:
    for step in range(2):
        results = [
            {"key": f"group{n % 30}/metric-{n}", "value": n + step, "step": step} for n in range(3000)
        ]
        client.post(f"/runs/{run}/results", json=results).raise_for_status()
    asked: list[str] = []
    tab.page.on(
        "request", lambda request: asked.append(request.url) if "/curves?" in request.url else None
    )
    page = opened(shared_service, tab, run)
    expect(page.locator(".chart[data-points='2']").first).to_be_visible()
    assert page.locator(".chart").count() < 300
    assert sum(url.count("key=") for url in asked) < 100
    expect(page.locator(".group h2")).to_have_count(30)
    page.keyboard.press("/")
    page.keyboard.type("metric-2999")
    expect(description(page, "group29/metric-2999")).to_contain_text("newest 3,000")
    expect(page.locator(".chart")).to_have_count(1)
    assert tab.errors == []


GRID = """async (runs) => {
  const { ChartGrid } = await import("/static/results/grid.js");
  window.hovered = [];
  window.removed = [];
  window.grid = new ChartGrid({ onHover: (id) => hovered.push(id), onRemove: (id) => removed.push(id) });
  document.getElementById("view").replaceChildren(grid.root);
  grid.setRuns(runs);
}"""


def compared(service: Service, client: httpx.Client, tab: Tab, groups: list[str | None]) -> list[str]:
    """A grid of one run for each group, whose values are 0, 1, 2 … at 100 steps."""
    runs = []
    for number in range(len(groups)):
        run = new_run(client)
        points = [{"key": "loss", "value": number, "step": step} for step in range(100)]
        client.post(f"/runs/{run}/results", json=points).raise_for_status()
        runs.append(run)
    tab.page.goto(service.url)
    expect(tab.page.locator("#connection")).to_have_text("live")
    entries = [
        {"id": run, "name": f"run {slot}", "slot": slot, "group": group}
        for slot, (run, group) in enumerate(zip(runs, groups, strict=True))
    ]
    tab.page.evaluate(GRID, entries)
    return runs


def test_a_grid_of_several_runs_has_a_legend_that_highlights_and_removes(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    runs = compared(shared_service, client, tab, [None] * 3)
    page = tab.page
    expect(chart(page, "loss")).to_have_attribute("data-points", "300")
    expect(page.locator(".legend li")).to_have_count(3)
    page.get_by_role("link", name="run 1").hover()
    expect(page.locator(".legend .strong")).to_contain_text("run 1")
    page.get_by_role("button", name="remove run 1").click()
    assert page.evaluate("removed") == [runs[1]]
    page.evaluate("([id]) => grid.setRuns(grid.runs.filter((run) => run.id !== id))", [runs[1]])
    expect(chart(page, "loss")).to_have_attribute("data-points", "200")
    canvas(page, "loss").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".chart-grid > [aria-live]")).to_have_text("run 2: 2 at step 0")
    joining = new_run(client)
    points = [{"key": "loss", "value": 9, "step": step} for step in range(50)]
    client.post(f"/runs/{joining}/results", json=points).raise_for_status()
    entry = {"id": joining, "name": "joins", "slot": 3}
    page.evaluate("(run) => grid.setRuns([...grid.runs, run])", entry)
    expect(chart(page, "loss")).to_have_attribute("data-points", "250")
    assert runs[2] in page.evaluate("hovered")
    assert tab.errors == []


def test_a_grid_takes_live_results_and_loads_again_after_a_gap(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    first, second = compared(shared_service, client, tab, [None] * 2)
    page = tab.page
    expect(chart(page, "loss")).to_have_attribute("data-points", "200")

    def take(run: str, seq: int) -> None:
        result = {"seq": seq, "key": "loss", "value": 1, "step": seq, "timestamp": "2026-01-01T00:00:00Z"}
        page.evaluate(
            "(event) => grid.take(event)", {"type": "run_result", "run_id": run, "result": result}
        )

    # one that is there, one that is new, and one of a run that is not shown
    take(first, 100)
    take(first, 101)
    take("another", 101)
    expect(chart(page, "loss")).to_have_attribute("data-points", "201")
    points = [{"key": "loss", "value": 5, "step": step} for step in range(100, 150)]
    for run in (first, second):
        client.post(f"/runs/{run}/results", json=points).raise_for_status()
    page.evaluate("grid.take({ type: 'gap', reason: 'expired' })")
    expect(chart(page, "loss")).to_have_attribute("data-points", "300")
    expect(description(page, "loss")).to_contain_text("greatest 5")
    assert tab.errors == []


def test_a_run_that_is_gone_does_not_hide_the_others(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    runs = compared(shared_service, client, tab, [None] * 2)
    entries = [{"id": run, "name": run, "slot": slot} for slot, run in enumerate([*runs, "gone"])]
    tab.page.evaluate(GRID, entries)
    expect(chart(tab.page, "loss")).to_have_attribute("data-points", "200")
    expect(tab.page.locator(".chart-grid > .warn")).to_contain_text("there is no run gone")


def test_a_group_of_runs_has_a_mean_and_a_band(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    compared(shared_service, client, tab, ["a", "a", "a", "b"])
    page = tab.page
    expect(page.locator(".legend li")).to_have_text([re.compile("a 3 runs"), re.compile("run 3")])
    expect(chart(page, "loss")).to_have_attribute("data-points", "400")
    curve = canvas(page, "loss")
    curve.hover()
    expect(page.locator(".reading")).to_contain_text("1 mean of a")
    page.get_by_label("band").select_option("deviation")
    expect(page.locator(".reading")).to_contain_text("1 mean of a")
    script = """async () => {
      const { bandOf } = await import("/static/results/band.js");
      const { Line } = await import("/static/results/line.js");
      const line = (xs, ys) => new Line({}, { ys }, xs);
      const lines = [line([0, 10], [0, 10]), line([10, 0, 5], [30, 10, 20])];
      return [bandOf(lines, "range"), bandOf(lines, "deviation")];
    }"""
    whole, deviation = page.evaluate(script)
    assert whole == {
        "xs": [0, 5, 10],
        "means": [5, 12.5, 20],
        "lows": [0, 5, 10],
        "highs": [10, 20, 30],
        "runs": [2, 2, 2],
    }
    assert deviation["highs"] == pytest.approx(
        [5 + math.sqrt(50), 12.5 + math.sqrt(112.5), 20 + math.sqrt(200)]
    )
    assert tab.errors == []


def test_every_slot_has_its_own_colour_and_dash_with_enough_contrast(
    shared_service: Service, tabs: Tabs
) -> None:
    """By 3 to 1, as WCAG 2.2 requires of graphics in criterion 1.4.11."""
    script = """async () => {
      const { SLOTS, colourOf, dashOf, swatch } = await import("/static/results/palette.js");
      const style = getComputedStyle(document.documentElement);
      const light = (text) => {
        const [r, g, b] = text.match(/\\w\\w/g).map((part) => parseInt(part, 16) / 255)
          .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const value = (name) => {
        const text = style.getPropertyValue(name).trim();
        return text.length === 4 ? text.replace(/\\w/g, "$&$&") : text;
      };
      const contrast = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      };
      const grounds = ["--ground", "--card"].map(value);
      const slots = [...Array(SLOTS).keys()];
      const isPoor = (slot) => grounds.some((ground) => contrast(value(colourOf(slot)), ground) < 3);
      const poor = slots.filter(isPoor);
      const looks = new Set(slots.map((slot) => `${value(colourOf(slot))} ${dashOf(slot)}`));
      const dashes = new Set(slots.slice(0, 10).map((slot) => `${dashOf(slot)}`));
      return { slots: SLOTS, poor, looks: looks.size, dashes: dashes.size, swatch: swatch(1).outerHTML };
    }"""
    for scheme in ("light", "dark"):
        page = tabs(color_scheme=scheme).page
        page.goto(shared_service.url)
        found = page.evaluate(script)
        assert found["poor"] == []
        assert found["looks"] == found["slots"] == 50
        assert found["dashes"] == 10
        assert "--curve-1" in found["swatch"]
