"""Pages of others in a real browser: they read nothing and write nothing."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, sync_playwright

from ..support import plain
from ..support.browser import FLAGS
from ..support.patience import PATIENCE
from ..support.service import Service, new_run, running

NAMES = [
    # names that resolve to this machine, as after a rebinding and in a local network
    "--host-resolver-rules=MAP *.example 127.0.0.1",
    # the browser's own protection of local services would hide whether ours works
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]

ATTACK = """
async ([base, run]) => {
  const read = [];
  const note = async (what) => { try { read.push(await what()); } catch { /* blocked */ } };
  const text = async (path, options) => {
    const response = await fetch(base + path, options);
    return response.ok ? response.text() : "";
  };
  await note(() => text("/runs"));
  await note(() => text(`/runs/${run}/logs`));
  await note(() => text("/openapi.json"));
  await note(() => new Promise((done) => {
    const source = new EventSource(`${base}/events/experiments:run:${run}?last_event_id=0`);
    source.addEventListener("run_started", (event) => { source.close(); done(event.data); });
    source.onerror = () => { source.close(); done(""); };
  }));
  const post = { method: "POST", credentials: "include" };
  const json = { ...post, headers: { "Content-Type": "application/json" } };
  await note(() => text(`/runs/${run}/logs`, { ...json, body: '{"message": "x"}' }));
  await note(() => text(`/runs/${run}`, { method: "DELETE" }));
  await note(() => text(`/runs/${run}`, { ...json, method: "PATCH", body: '{"name": "x"}' }));
  // simple requests, which browsers send without asking first
  for (const end of ["logs", "cancel", "heartbeat", "fail"]) {
    await note(() => text(`/runs/${run}/${end}`, { ...post, mode: "no-cors", body: "x" }));
    navigator.sendBeacon(`${base}/runs/${run}/${end}`, "x");
  }
  await new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.name = "target";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, { method: "post", target: "target", action: `${base}/runs/${run}/cancel` });
    document.body.append(form);
    frame.onload = done;
    form.submit();
    setTimeout(done, 3000);
  });
  return read.filter(Boolean);
}
"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser | None]:
    path = shutil.which("chromium")
    if path is None:
        yield None
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *NAMES])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with the settings of a laptop, and one name more."""
    with running(tmp_path_factory.mktemp("victim"), allowed_hosts="athanor.example") as service:
        yield service


@pytest.fixture
def page(hostile: Browser | None, need: Callable[[bool, str], None]) -> Iterator[Page]:
    need(hostile is not None, "chromium")
    assert hostile is not None
    context = hostile.new_context()
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    yield page
    context.close()


def open_page(page: Page, address: str, html: str = "<body></body>") -> None:
    """Open a page that the attacker serves at an address."""

    def serve(route: Route) -> None:
        route.fulfill(content_type="text/html", body=html)

    page.route(f"{address}/attack", serve)
    page.goto(f"{address}/attack")


def refused(service: Service) -> dict[str, float]:
    text = plain.get(f"{service.url}/metrics").text
    found = re.findall(r'^athanor_refused_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {reason: float(count) for reason, count in found}


def check_unharmed(service: Service, run: str, read: list[Any], reason: str, before: float) -> None:
    client = service.client()
    found = client.get(f"/runs/{run}").raise_for_status().json()
    assert found["status"] == "running"
    assert found["log_count"] == 0
    assert found["cancel_requested_at"] is None
    assert "name" not in found["metadata"]
    assert read == []
    # the service refused it, and not only the browser
    assert refused(service)[reason] > before


@pytest.mark.parametrize(
    ("address", "target", "reason"),
    [
        # the page's name was made to resolve to the service after it was loaded
        ("http://rebound.example:PORT", "http://rebound.example:PORT", "host"),
        ("http://localhost:1", "http://127.0.0.1:PORT", "origin"),
        ("http://127.0.0.1:1", "http://127.0.0.1:PORT", "origin"),
        ("http://localhost:PORT", "http://127.0.0.1:PORT", "origin"),
        # plain HTTP to a name: the browser sends no Sec-Fetch-Site
        ("http://evil.example", "http://athanor.example:PORT", "origin"),
        ("https://evil.example", "http://127.0.0.1:PORT", "origin"),
    ],
)
def test_a_foreign_page_reads_and_writes_nothing(
    address: str, target: str, reason: str, page: Page, victim: Service
) -> None:
    run = new_run(victim.client())
    before = refused(victim)[reason]
    open_page(page, address.replace("PORT", str(victim.port)))
    read = page.evaluate(ATTACK, [target.replace("PORT", str(victim.port)), run])
    check_unharmed(victim, run, read, reason, before)


def test_a_sandboxed_frame_reads_and_writes_nothing(page: Page, victim: Service) -> None:
    """Its origin is `null`, also in a frame of the service's own page."""
    run = new_run(victim.client())
    before = refused(victim)["origin"]
    script = f"({ATTACK})({json.dumps([victim.url, run])}).then((read) => parent.postMessage(read, '*'))"
    frame = f"<body><script>{script}</script></body>".replace('"', "&quot;")
    html = f"""<body><script>
      window.got = new Promise((done) => addEventListener("message", ({{ data }}) => done(data)));
    </script><iframe sandbox="allow-scripts allow-forms" srcdoc="{frame}"></iframe></body>"""
    open_page(page, victim.url, html)
    check_unharmed(victim, run, page.evaluate("window.got"), "origin", before)


def test_the_attack_works_where_it_is_allowed(page: Page, tmp_path: Path) -> None:
    """So the tests above can fail."""
    with running(tmp_path, allowed_origins="*", allowed_hosts="*") as service:
        run = new_run(service.client())
        open_page(page, "http://evil.example")
        read = page.evaluate(ATTACK, [service.url, run])
        assert len(read) >= 4
        found = service.client().get(f"/runs/{run}").json()
        assert found["cancel_requested_at"] is not None
        assert found["log_count"] > 0
