"""The table of an experiment's runs: filter, sort, columns, groups, changes, and the way back."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from ..support.browser import Tab
from ..support.follower import wait_until
from ..support.held import Held
from ..support.service import Service, running

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
# one drawn frame
FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))"


def new_instance(client: httpx.Client, name: str, **fields: Any) -> str:
    made = client.post("/instances", json={"name": name, **fields}).raise_for_status().json()
    return str(made["id"])


def add_run(client: httpx.Client, instance: str, id: str, start: bool = True, **metadata: Any) -> str:
    body = {"id": id, "metadata": metadata}
    client.post(f"/instances/{instance}/runs", json=body).raise_for_status()
    if start:
        client.post(f"/runs/{id}/start").raise_for_status()
    return id


def report(client: httpx.Client, run: str, **series: list[Any]) -> None:
    points = [
        {"key": key.replace("__", "/"), "value": value, "step": step}
        for key, values in series.items()
        for step, value in enumerate(values)
    ]
    client.post(f"/runs/{run}/results", json=points).raise_for_status()


def grid(page: Page) -> Locator:
    return page.locator(".grid")


def names(page: Page) -> list[str]:
    """The names of the rows that are drawn, from the top."""
    page.evaluate(FRAME)
    return page.locator(".grid-row .of-name a").all_text_contents()


def cells(page: Page, column: str) -> list[str]:
    """What a column shows, from the top; `column` is its id."""
    page.evaluate(FRAME)
    found: list[str] = page.evaluate(
        """(id) => {
          const heads = [...document.querySelectorAll(".grid-head [role=columnheader]")];
          const at = heads.findIndex((head) => head.querySelector(`[data-name="${CSS.escape(id)}"]`));
          return [...document.querySelectorAll(".grid-row")].map((row) => row.children[at].textContent);
        }""",
        column,
    )
    return found


def expect_names(page: Page, wanted: list[str], why: str | None = None) -> None:
    """Wait until these rows are drawn: on a busy machine the table follows a filter up to 1 s later."""
    expect(page.locator(".grid-row .of-name a"), why).to_have_text(wanted)


def expect_cells(page: Page, column: str, wanted: list[str]) -> None:
    wait_until(lambda: cells(page, column) == wanted, f"{column} with {wanted}")


def head(page: Page, column: str) -> Locator:
    return page.locator(f'[data-name="{column}"]')


@pytest.fixture
def sweep(shared_service: Service, client: httpx.Client) -> tuple[str, dict[str, float]]:
    """An instance, and the least validation loss of each of its 30 runs, by name."""
    instance = new_instance(client, "Sweep", configuration={"model": "vit"})
    noise = random.Random(18)
    losses: dict[str, float] = {}
    for rate in RATES:
        for seed in range(6):
            name = f"lr{rate:g}-{seed}"
            config = {"optimizer": {"lr": rate}, "seed": seed, "epochs": 3}
            run = add_run(client, instance, f"{instance}-{name}", name=name, config=config)
            floor = 0.3 + 0.2 * abs(math.log10(rate / 1e-3)) + noise.random() * 0.05
            values: list[Any] = [floor + 1, floor, floor + 0.01]
            if rate == 1e-3 and seed == 5:
                # the best of all is one that still runs
                values = [1.2, 0.25, 0.4]
            if rate == 1e-2 and seed == 0:
                values = [1.5, 1.4, "NaN"]
            report(client, run, val__loss=values, train__loss=[1, 0.5, 0.4], lr=[rate] * 3)
            losses[name] = min(value for value in values if value != "NaN")
            if values[-1] == "NaN":
                error = "Traceback (most recent call last):\n  File t.py\nValueError: loss became NaN"
                client.post(f"/runs/{run}/fail", json={"error": error})
            elif values[-1] != 0.4:
                client.post(f"/runs/{run}/complete")
    return instance, losses


def test_a_researcher_finds_the_best_run_why_one_failed_and_what_explains_it(
    shared_service: Service, sweep: tuple[str, dict[str, float]], tabs: Callable[..., Tab]
) -> None:
    tab = tabs(viewport={"width": 1440, "height": 1200})
    page = tab.page
    instance, losses = sweep
    page.goto(f"{shared_service.url}/#/instances/{instance}")
    expect(page.locator(".count")).to_have_text("30 runs")
    # settings that differ have a column, those that do not have none
    for column in ("config.optimizer.lr", "config.seed", "last.val/loss", "least.val/loss"):
        expect(head(page, column)).to_be_visible()
    expect(head(page, "config.epochs")).to_have_count(0)
    head(page, "least.val/loss").click()
    expect(page.locator('[role=columnheader][aria-sort="ascending"]')).to_contain_text("val/loss")
    expected = sorted(losses, key=lambda name: losses[name])
    expect_names(page, expected)
    assert expected[0] == "lr0.001-5"
    # why one failed
    page.get_by_label("filter runs").fill("status:failed")
    expect(page.locator(".count")).to_have_text("1 of 30 runs")
    expect(page.locator(".grid-row")).to_have_count(1)
    expect(page.locator(".grid-row")).to_contain_text("ValueError: loss became NaN")
    # NaN is what was reported last
    expect_cells(page, "last.val/loss", ["NaN"])
    # the learning rate, by its short name
    page.get_by_label("filter runs").fill("lr<1e-3")
    expect(page.locator(".count")).to_contain_text("12 of 30 runs; lr is config.optimizer.lr")
    page.get_by_label("filter runs").fill("")
    page.get_by_label("group runs by").select_option(label="Group by optimizer.lr")
    expect(page.locator(".grid-row")).to_have_count(5)
    means = {
        rate: statistics.mean(loss for name, loss in losses.items() if name.startswith(f"lr{rate:g}-"))
        for rate in RATES
    }
    order = sorted(RATES, key=lambda rate: means[rate])
    expect_cells(page, "name", [f"▸ optimizer.lr = {rate:g} · 6" for rate in order])
    page.get_by_role("button", name="Plot").click()
    expect(page.locator(".plot-point")).to_have_count(30)
    # a link for a colleague shows the same
    wait_until(lambda: "plot=" in page.url and "group=" in page.url, "the address")
    other = tabs(viewport={"width": 1440, "height": 1200})
    other.page.goto(page.url)
    expect(other.page.locator(".plot-point")).to_have_count(30)
    for column in ("name", "least.val/loss"):
        expect_cells(other.page, column, cells(page, column))
    assert tab.errors == other.errors == []


LANGUAGE = [
    ("lr<1e-3", ["a"]),
    ("lr>=0.001", ["b", "c"]),
    ("lr!=0.001", ["a", "c"]),
    ("optimizer.lr=1e-3", ["b"]),
    ("config.optimizer.lr:0.001,0.01", ["b", "c"]),
    ("status:failed", ["b"]),
    ("status:failed,completed", ["b", "c"]),
    ("-status:failed", ["a", "c"]),
    ("loss<0.2", ["a"]),
    ("best.loss<0.2", ["a", "b"]),
    ("greatest.acc>0.5 -tag:old", ["a"]),
    ("tag:baseline", ["b"]),
    ("tag:base", []),
    ("Alpha", ["a"]),
    ('"of memory"', ["b"]),
    ("error:memory", ["b"]),
    ("name:et", ["b"]),
    ("loss=NaN", []),
    ("last.noise=nan", ["c"]),
    ('"key with space">2', ["c"]),
    ("flag:true", ["a"]),
    ("took<1h status:completed", ["c"]),
    ("progress>50%", ["a", "c"]),
    ("age<1d", ["a", "b", "c"]),
    ("began>2020-01-01", ["a", "b", "c"]),
    ("", ["a", "b", "c"]),
]

FAULTS = [
    ("lr<", "a value is missing after lr<", 2),
    ("<3", "a name is missing before <", 0),
    ('note "open', "this quote has no end", 5),
    ("lr<fast", "“fast” is no number", 3),
    ("lrr<3", "no run has “lrr”", 0),
    ("optimizr.lr<3", "is it optimizer.lr?", 0),
    ("-nothing:1", "no run has “nothing”", 1),
    ("status:done", "status is one of running,", 7),
    ("took>soon", "“soon” is no duration: write 90s", 5),
    ("began>noon", "“noon” is no date: write 2026-11-26", 6),
    ("beta<1", "“beta” is decay.beta or optimizer.beta", 0),
    ('""', "a text is missing", 0),
]


def test_the_filter_finds_what_it_says_and_says_what_is_wrong(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Language", configuration={"model": "none"})
    ids = {name: f"{instance}-{name}" for name in "abc"}
    configs: list[dict[str, Any]] = [
        {"optimizer": {"lr": 1e-4, "beta": 1}, "decay": {"beta": 2}, "flag": True},
        {"optimizer": {"lr": 1e-3}, "flag": False},
        {"optimizer": {"lr": 1e-2}, "key with space": 3},
    ]
    shown = {"a": "Alpha", "b": "Beta", "c": "Gamma"}
    for name, config, tags in zip("abc", configs, ([], ["baseline", "old"], ["old"]), strict=True):
        add_run(client, instance, ids[name], name=shown[name], config=config, tags=tags)
    report(client, ids["a"], loss=[0.5, 0.1], acc=[0.9])
    report(client, ids["b"], loss=[0.15, 0.3], acc=[0.8])
    report(client, ids["c"], loss=[0.4], noise=["NaN"])
    client.post(f"/runs/{ids['a']}/progress", json={"current": 6, "total": 10})
    client.post(f"/runs/{ids['b']}/fail", json={"error": "x\nCUDA out of memory"})
    client.post(f"/runs/{ids['c']}/complete")
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}")
    field, count = tab.page.get_by_label("filter runs"), tab.page.locator(".count")
    expect(count).to_have_text("3 runs")
    expect(tab.page.locator(".grid-row progress:visible")).to_have_count(1)
    for text, found in LANGUAGE:
        field.fill(text)
        expect(count).to_contain_text("3 runs" if len(found) == 3 else f"{len(found)} of 3 runs")
        expect(field).to_have_attribute("aria-invalid", "false")
        if found:
            # the newest first
            expect_names(tab.page, [shown[each] for each in reversed(found)], text)
    fault = tab.page.locator("#filter-fault")
    for text, message, at in FAULTS:
        field.fill(text)
        expect(fault).to_contain_text(message)
        expect(fault).to_contain_text(f"(character {at + 1})")
        expect(field).to_have_attribute("aria-invalid", "true")
        # the runs stay
        assert len(names(tab.page)) == 3
    field.fill("")
    expect(fault).to_be_hidden()
    assert tab.errors == []


def test_any_text_is_a_filter_or_a_fault_with_its_place(shared_service: Service, tab: Tab) -> None:
    made = random.Random(7)
    parts = ["lr", "<", "1e-3", " ", '"', "-", ":", "=", "!=", ">", ">=", "é", "\u202e", "status", ","]
    texts = ["".join(made.choices(parts, k=made.randint(0, 9))) for _ in range(3000)]
    tab.page.goto(shared_service.url)
    wrong = tab.page.evaluate(
        """async (texts) => {
          const { parse, QueryError } = await import("./static/runs/query.js");
          return texts.filter((text) => {
            try {
              const isOutside = ({ at, length }) => at < 0 || length < 1 || at + length > text.length;
              return parse(text).some(isOutside);
            } catch (fault) {
              return !(fault instanceof QueryError) || fault.at < 0 || fault.at >= text.length;
            }
          });
        }""",
        texts,
    )
    assert wrong == []


def test_every_column_sorts_and_what_is_missing_comes_last(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Sorting")
    losses: dict[str, list[Any]] = {"a": [3], "b": ["NaN"], "c": [1], "d": [], "e": ["-Infinity"]}
    sizes = {"a": 10, "b": "small", "c": 9, "d": 2**70, "e": None}
    for name, values in losses.items():
        config = {} if sizes[name] is None else {"size": sizes[name]}
        run = add_run(client, instance, f"{instance}-{name}", name=name, config=config)
        report(client, run, loss=values or [None])
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}")
    expect(tab.page.locator(".count")).to_have_text("5 runs")
    expect_names(tab.page, list("edcba"))
    for column, first, second in (
        ("name", "abcde", "edcba"),
        ("last.loss", "ecabd", "acebd"),
        ("config.size", "cadbe", "dacbe"),
    ):
        for order, direction in ((first, "ascending"), (second, "descending"), ("edcba", "none")):
            head(tab.page, column).click()
            expect(tab.page.locator("[role=columnheader]", has=head(tab.page, column))).to_have_attribute(
                "aria-sort", direction
            )
            expect_names(tab.page, list(order))
    # the least or the greatest: a choice of the header
    wait_until(lambda: cells(tab.page, "least.loss")[2] == "1", "the least loss of c")
    tab.page.get_by_role("button", name="least of loss: show the greatest").click()
    expect(head(tab.page, "greatest.loss")).to_be_visible()
    assert "columns=greatest.loss" in tab.page.url
    tab.page.reload()
    expect(head(tab.page, "greatest.loss")).to_be_visible()
    expect(head(tab.page, "least.loss")).to_have_count(0)
    assert tab.errors == []


def test_columns_of_thousands_of_metrics_are_chosen_by_a_search(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Wide")
    run = add_run(client, instance, f"{instance}-1", name="wide", config={"lr": 1})
    points = [{"key": f"layer{n}/norm", "value": n + 0.5, "step": 0} for n in range(3000)]
    client.post(f"/runs/{run}/results", json=points).raise_for_status()
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}")
    expect(tab.page.locator(".count")).to_have_text("1 run")
    tab.page.get_by_role("button", name="Columns").click()
    chooser = tab.page.get_by_role("dialog", name="columns")
    expect(chooser).to_contain_text("and 2,940 more: search for them")
    assert tab.page.locator("*").count() < 1500
    tab.page.keyboard.type("layer2718")
    tab.page.get_by_role("checkbox", name="greatest of layer2718/norm").check()
    expect(head(tab.page, "greatest.layer2718/norm")).to_be_attached()
    expect_cells(tab.page, "greatest.layer2718/norm", ["2718.5"])
    tab.page.keyboard.press("Escape")
    expect(chooser).to_be_hidden()
    expect(tab.page.get_by_role("button", name="Columns")).to_be_focused()
    tab.page.reload()
    expect_cells(tab.page, "greatest.layer2718/norm", ["2718.5"])
    assert tab.errors == []


def test_a_group_shows_counts_means_and_deviations(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Seeds")
    values = {0.1: [1.0, 2.0, 4.0], 0.2: [5.0]}
    for rate, losses in values.items():
        for seed, loss in enumerate(losses):
            name = f"lr{rate}-{seed}"
            config = {"lr": rate, "seed": seed}
            run = add_run(client, instance, f"{instance}-{name}", name=name, config=config)
            report(client, run, loss=[loss])
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}?group=config.lr")
    rows = tab.page.locator(".grid-row")
    expect(rows).to_have_count(2)
    expect(tab.page.get_by_role("treegrid", name="runs")).to_be_visible()
    expect_cells(tab.page, "name", ["▸ lr = 0.1 · 3", "▸ lr = 0.2 · 1"])
    deviation = statistics.stdev(values[0.1])
    expect_cells(tab.page, "last.loss", [f"2.333 ± {deviation:.1f}", "5"])
    expect(rows.first).to_have_attribute("aria-expanded", "false")
    rows.first.focus()
    tab.page.keyboard.press("ArrowRight")
    expect(rows).to_have_count(5)
    expect(rows.first).to_have_attribute("aria-expanded", "true")
    expect(rows.first).to_be_focused()
    assert "open=0.1" in tab.page.url
    # a new run joins its group
    late = add_run(client, instance, f"{instance}-late", name="late", config={"lr": 0.2, "seed": 1})
    expect(rows.last).to_contain_text("lr = 0.2 · 2")
    client.delete(f"/runs/{late}")
    tab.page.keyboard.press("ArrowLeft")
    expect(rows).to_have_count(2)
    assert tab.errors == []


def test_an_editor_that_opens_again_at_once_stays_open(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Editors")
    for n in range(2):
        add_run(client, instance, f"{instance}-{n}", start=False, name=f"run {n}")
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}?sort=name")
    expect_names(tab.page, ["run 0", "run 1"])
    first, second = (tab.page.locator(f'.grid-row[data-id="{instance}-{n}"]') for n in range(2))
    first.focus()
    tab.page.keyboard.press("e")
    # the browser tells of the close when the dialog is open again
    tab.page.evaluate(
        """() => {
          const buttons = [...document.querySelectorAll(".editor button")];
          buttons.find(({ textContent }) => textContent === "Close").click();
          document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: "e", bubbles: true }));
          return new Promise((done) => setTimeout(done, 100));
        }"""
    )
    dialog = tab.page.get_by_role("dialog", name="run 0")
    expect(dialog.get_by_label("Name")).to_be_focused()
    # a change that is saved late does not close the editor of another run
    held = Held(tab.page, "**/runs/*")
    dialog.get_by_label("Name").fill("renamed")
    tab.page.keyboard.press("Enter")
    change = held.wait_for(1, "the change")
    tab.page.keyboard.press("Escape")
    expect(first).to_be_focused()
    second.focus()
    tab.page.keyboard.press("e")
    dialog = tab.page.get_by_role("dialog", name="run 1")
    expect(dialog.get_by_label("Name")).to_have_value("run 1")
    change.continue_()
    expect(first).to_contain_text("renamed")
    expect(dialog.get_by_label("Name")).to_be_focused()
    assert tab.errors == []


def test_back_returns_to_the_same_filter_order_and_place(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Place")
    for n in range(120):
        add_run(client, instance, f"{instance}-{n:03}", start=False, name=f"run {n:03}", config={"n": n})
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}?sort=config.n&filter=n>=10")
    expect(tab.page.locator(".count")).to_have_text("110 of 120 runs")
    scroller = tab.page.locator(".grid-scroll")
    scroller.evaluate("root => { root.scrollTop = 1500 }")
    expect(tab.page.get_by_role("link", name="run 063")).to_be_visible()
    before = scroller.evaluate("root => root.scrollTop")
    tab.page.get_by_role("link", name="run 063").click()
    expect(tab.page.locator("h1")).to_contain_text("run 063")
    tab.back()
    expect(tab.page.get_by_role("link", name="run 063")).to_be_visible()
    wait_until(lambda: scroller.evaluate("root => root.scrollTop") == before, "the place")
    expect(tab.page.get_by_label("filter runs")).to_have_value("n>=10")
    expect(tab.page.locator('[aria-sort="ascending"]')).to_contain_text("n")
    # by keyboard, the row has the focus again
    tab.page.locator('.grid-row[data-id$="-063"]').focus()
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("Enter")
    expect(tab.page.locator("h1")).to_contain_text("run 064")
    tab.back()
    expect(tab.page.locator('.grid-row[data-id$="-064"]')).to_be_focused()
    assert tab.errors == []


def test_the_keyboard_alone_finds_renames_tags_and_deletes_runs(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Keys")
    for n in range(60):
        add_run(client, instance, f"{instance}-{n:02}", start=False, name=f"run {n:02}")
    press, type_ = tab.page.keyboard.press, tab.page.keyboard.type
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}?sort=name")
    expect(tab.page.locator(".count")).to_have_text("60 runs")
    rows = tab.page.get_by_role("row")
    press("j")
    expect(rows.filter(has_text="run 00")).to_be_focused()
    press("End")
    expect(rows.filter(has_text="run 59")).to_be_focused()
    expect(rows.filter(has_text="run 59")).to_be_in_viewport()
    press("Home")
    press("e")
    dialog = tab.page.get_by_role("dialog", name="run 00")
    expect(dialog.get_by_label("Name")).to_be_focused()
    press("Control+a")
    type_("first of all")
    press("Tab")
    type_("baseline, good one")
    press("Tab")
    type_("as in the paper")
    press("Tab")
    press("Enter")
    expect(dialog).to_be_hidden()
    expect(rows.filter(has_text="first of all")).to_be_focused()
    metadata = client.get(f"/runs/{instance}-00").json()["metadata"]
    wanted = {"name": "first of all", "tags": ["baseline", "good one"], "notes": "as in the paper"}
    assert {**metadata, **wanted} == metadata
    # several at once
    press("/")
    type_("name:1")
    expect(tab.page.locator(".count")).to_have_text("15 of 60 runs")
    press("ArrowDown")
    press(" ")
    press("ArrowDown")
    press("ArrowDown")
    press("Shift+Space")
    expect(tab.page.get_by_role("button", name="Edit 3 chosen")).to_be_visible()
    chosen = tab.page.locator('.grid-row[aria-selected="true"]')
    expect(chosen).to_have_count(3)
    tab.page.get_by_role("button", name="Edit 3 chosen").focus()
    press("Enter")
    type_("odd")
    press("Enter")
    wait_until(
        lambda: client.get(f"/runs/{instance}-01").json()["metadata"].get("tags") == ["odd"], "tags"
    )
    # the others are saved too by then
    expect(tab.page.locator("dialog.editor[open]")).to_have_count(0)
    # deleting asks in its place; going on without a second press does nothing
    tab.page.get_by_role("button", name="Edit 3 chosen").focus()
    press("Enter")
    delete = tab.page.locator("[data-part=delete]")
    delete.focus()
    press("Enter")
    expect(delete).to_contain_text("Delete 3 runs for good")
    press("Shift+Tab")
    expect(delete).to_have_text("Delete 3 runs")
    press("Tab")
    press("Enter")
    press("Enter")
    expect(tab.page.locator(".count")).to_have_text("12 of 57 runs")
    assert client.get(f"/runs/{instance}-01").status_code == 404
    # the neighbour has the focus
    expect(rows.nth(1)).to_be_focused()
    # one
    press("j")
    press("Delete")
    press("Enter")
    press("Enter")
    expect(tab.page.locator(".count")).to_have_text("11 of 56 runs")
    expect(rows.nth(2)).to_be_focused()
    press("Escape")
    expect(tab.page.locator(".count")).to_have_text("56 runs")
    assert tab.errors == []


def test_the_table_has_roles_names_and_positions(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    instance = new_instance(client, "Roles")
    for n in range(200):
        add_run(client, instance, f"{instance}-{n:03}", start=False, name=f"run {n:03}", config={"n": n})
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}?sort=name")
    table = tab.page.get_by_role("grid", name="runs")
    expect(table).to_have_attribute("aria-rowcount", "201")
    expect(table.get_by_role("columnheader", name="status")).to_have_attribute("aria-sort", "none")
    expect(table.get_by_role("columnheader", name="name")).to_have_attribute("aria-sort", "ascending")
    # only what is seen is in the document
    assert tab.page.locator(".grid-row").count() < 60
    row = table.get_by_role("row", name=re.compile("run 010"))
    expect(row).to_have_attribute("aria-rowindex", "12")
    expect(row).to_have_attribute("aria-selected", "false")
    expect(row.get_by_role("rowheader", name="run 010")).to_be_visible()
    expect(row.get_by_role("checkbox", name="compare run 010")).to_be_visible()
    count = table.get_by_role("columnheader").count()
    assert row.get_by_role("gridcell").count() + 1 == count
    assert table.get_attribute("aria-colcount") == str(count)
    # one stop of the tab key in the header and one in the rows
    stops = tab.page.locator('.grid [tabindex="0"]')
    expect(stops).to_have_count(2)
    tab.page.locator(".grid-scroll").evaluate("root => { root.scrollTop = 3000 }")
    expect(table.get_by_role("row", name=re.compile("run 110"))).to_be_visible()
    order = tab.page.eval_on_selector_all(".grid-row", "rows => rows.map(row => +row.ariaRowIndex)")
    assert order == sorted(order)
    assert tab.errors == []


def test_a_stale_run_is_marked_as_failed_and_a_running_one_cancelled(tmp_path: Path, tab: Tab) -> None:
    with running(tmp_path, stale_after=1) as service:
        client = service.client()
        instance = new_instance(client, "Stale")
        for name in ("lost", "alive"):
            add_run(client, instance, name)
        wait_until(lambda: client.get("/runs/lost").json()["stale"], "a stale run")
        client.post("/runs/alive/heartbeat")
        tab.page.goto(f"{service.url}/#/instances/{instance}")
        expect(tab.page.locator('.grid-row[data-id="lost"] .pill')).to_have_text("stale")
        tab.page.locator('.grid-row[data-id="lost"]').focus()
        tab.page.keyboard.press("e")
        tab.page.get_by_role("button", name="Mark as failed").click()
        tab.page.get_by_role("button", name="no sign of life: failed?").click()
        expect(tab.page.locator('.grid-row[data-id="lost"] .pill')).to_have_text("failed")
        expect(tab.page.locator('.grid-row[data-id="lost"]')).to_contain_text("no sign of life")
        tab.page.locator('.grid-row[data-id="alive"]').focus()
        tab.page.keyboard.press("e")
        expect(tab.page.get_by_role("dialog")).to_contain_text("a running run can't be deleted")
        tab.page.get_by_role("button", name="Cancel").click()
        tab.page.get_by_role("button", name="End what runs?").click()
        expect(tab.page.locator('.grid-row[data-id="alive"] .pill')).to_have_text("cancelling")
        assert client.get("/runs/alive").json()["cancel_requested_at"] is not None
        assert tab.errors == []


def test_500_runs_with_50_live_ones_lose_no_update_and_keep_their_rows(
    service: Service, tab: Tab
) -> None:
    client = service.client()
    instance = new_instance(client, "Many")
    live = [f"run-{n:03}" for n in range(0, 500, 10)]
    for n in range(500):
        id = f"run-{n:03}"
        add_run(client, instance, id, start=id in live, config={"n": n})
    tab.page.goto(f"{service.url}/#/instances/{instance}?sort=name")
    expect(tab.page.locator(".count")).to_have_text("500 runs")
    tab.expect_state("live")
    tab.page.evaluate("() => document.querySelectorAll('.grid-row').forEach(row => { row.kept = true })")
    for step in range(1, 11):
        for run in live:
            client.post(f"/runs/{run}/progress", json={"current": step * 10 - 3, "total": 100})
    for run in live[::2]:
        client.post(f"/runs/{run}/complete")
    expect(tab.page.locator(".chip.completed")).to_have_text("25 completed")
    expect(tab.page.locator(".chip.running")).to_have_text("25 running")
    kept = tab.page.eval_on_selector_all(".grid-row", "rows => rows.every(row => row.kept)")
    assert kept
    tab.page.get_by_label("filter runs").fill("status:running")
    expect(tab.page.locator(".count")).to_have_text("25 of 500 runs")
    tab.page.locator(".grid-row").first.focus()
    expected = dict.fromkeys(live[1::2], "97 %")

    def shown() -> dict[str, str]:
        rows: list[tuple[str, str]] = tab.page.eval_on_selector_all(
            ".grid-row",
            "rows => rows.map(row => [row.dataset.id, row.querySelector('.bar-text').textContent])",
        )
        return dict(rows)

    wait_until(lambda: shown().items() <= expected.items(), "the last progress")
    tab.page.keyboard.press("End")
    wait_until(lambda: shown().items() <= expected.items(), "the last progress below")
    assert tab.errors == []


def test_all_pages_of_a_long_list_are_read(service: Service, tab: Tab) -> None:
    client = service.client()
    instance = new_instance(client, "Heavy")
    # 2 MiB is the most of one page
    for n in range(30):
        add_run(client, instance, f"run-{n:02}", start=False, config={"blob": "x" * 150_000, "n": n})
    assert client.get("/runs?limit=1000").json()["next"]
    for path in (f"/#/instances/{instance}", "/#/?view=runs"):
        tab.page.goto("about:blank")
        tab.page.goto(f"{service.url}{path}")
        expect(tab.page.locator(".count")).to_have_text("30 runs")
    assert tab.errors == []


def test_what_is_empty_says_what_to_do(shared_service: Service, client: httpx.Client, tab: Tab) -> None:
    new_instance(client, "Another")
    instance = new_instance(client, "Empty 'one'")
    tab.page.goto(f"{shared_service.url}/#/instances/{instance}")
    expect(tab.page.get_by_role("heading", name="No runs yet")).to_be_visible()
    expect(tab.page.locator("pre").nth(1)).to_contain_text("athanor run -i 'Empty '\\''one'\\''' -- echo")
    run = add_run(client, instance, f"{instance}-first")
    expect(tab.page.locator(".grid-row")).to_have_count(1)
    expect(tab.page.get_by_role("heading", name="No runs yet")).to_be_hidden()
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("nobody")
    expect(tab.page.locator(".nothing")).to_contain_text("No run matches nobody.")
    tab.page.get_by_role("button", name="Clear the filter").click()
    expect(tab.page.locator(".grid-row")).to_have_count(1)
    expect(tab.page.get_by_label("filter runs")).to_be_focused()
    # the run's first metric gets a column without a reload
    report(client, run, loss=[0.5])
    client.post(f"/runs/{run}/complete").raise_for_status()
    expect(head(tab.page, "last.loss")).to_be_visible()
    expect_cells(tab.page, "last.loss", ["0.5"])
    client.delete(f"/instances/{instance}").raise_for_status()
    expect(tab.page.locator("main")).to_contain_text("This experiment was deleted, with its runs.")
    assert tab.errors == []
    tab.page.goto(f"{shared_service.url}/#/instances/nowhere")
    expect(tab.page.locator("main")).to_contain_text("There is no experiment nowhere.")
    tab.page.get_by_role("link", name="All experiments").click()
    expect(tab.page.get_by_role("tab", name=re.compile("Experiments"))).to_be_visible()
