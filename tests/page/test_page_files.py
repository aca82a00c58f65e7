"""The files of the page: a browser keeps each version of them, and asks again for none."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import httpx
from playwright.sync_api import Route

from athanor.web.page_files import TYPES, PageReader

from ..support.browser import Tab
from ..support.service import Service, new_run

STATIC = Path(__file__).parents[2] / "static"
FILES = sorted(path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())


def version_in(document: str) -> str:
    versions = set(re.findall(r'(?:src|href)="static/([0-9a-f]{16})/', document))
    # nothing is loaded from elsewhere
    assert document.count('"static/') == len(re.findall('"static/[0-9a-f]{16}/', document))
    assert len(versions) == 1
    return str(versions.pop())


def test_a_file_of_this_version_is_kept_and_others_are_not(client: httpx.Client) -> None:
    document = client.get("/")
    assert document.headers["Cache-Control"] == "no-store"
    version = version_in(document.text)
    assert {Path(name).suffix for name in FILES} == set(TYPES)
    for name in FILES:
        content = (STATIC / name).read_bytes()
        kept = client.get(f"/static/{version}/{name}")
        assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        # another process of a cluster may have another version, and get a request for it
        for path in (f"/static/{'0' * 16}/{name}", f"/static/{name}"):
            other = client.get(path)
            assert other.headers["Cache-Control"] == "no-store"
            assert other.content == kept.content == content
            assert other.headers["Content-Type"] == kept.headers["Content-Type"]
            assert "script-src 'self'" in other.headers["Content-Security-Policy"]
    for path in (
        "nothing.js",
        f"{version}/nothing.js",
        f"{version}/",
        version,
        f"{version}/{version}/app.js",
    ):
        assert client.get(f"/static/{path}").status_code == 404


def test_a_version_is_that_of_the_contents(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        shutil.copytree(STATIC, folder)
        for path in folder.rglob("*.js"):
            os.utime(path, (len(folder.name), 10**9))
    first, second = (PageReader(folder) for folder in folders)
    before = first.read()
    assert before.version == second.read().version
    assert first.read() is before
    # an editor's copies are no files of the page
    (folders[0] / ".app.js.swp").write_text("swap")
    (folders[0] / "app.js~").write_text("backup")
    assert first.read() is before
    script = folders[0] / "run" / "run.js"
    old = script.read_bytes()
    script.write_bytes(old + b"// more\n")
    after = first.read()
    assert after.version != before.version
    assert after.contents["run/run.js"] == old + b"// more\n"
    script.write_bytes(old)
    assert first.read().version == before.version
    script.rename(script.with_name("ran.js"))
    assert first.read().version != before.version
    assert "run/run.js" not in first.read().contents


LOADED = """() => performance.getEntriesByType("resource")
  .filter(({ name }) => name.includes("/static/"))
  .map(({ name, transferSize }) => [name, transferSize])"""


def test_the_page_opens_again_without_its_files(service: Service, tab: Tab) -> None:
    def opened() -> dict[str, int]:
        tab.page.goto("about:blank")
        tab.page.goto(service.url)
        tab.expect_state("live")
        return dict(tab.page.evaluate(LOADED))

    first = opened()
    assert sum(size > 0 for size in first.values()) > 60
    # the contents are those of before, so a restart changes nothing
    for _ in range(2):
        again = opened()
        assert set(again) == set(first)
        assert set(again.values()) == {0}
        service.terminate()
        service.start()
    assert tab.errors == []


def test_tabs_of_two_versions_are_live_beside_each_other(
    shared_service: Service, client: httpx.Client, tab: Tab
) -> None:
    run = new_run(client)

    def serve(route: Route) -> None:
        document = route.fetch().text()
        route.fulfill(body=document.replace(version_in(document), "0" * 16), content_type="text/html")

    tab.page.route(f"{shared_service.url}/", serve)
    tab.page.goto(f"{shared_service.url}/#/runs/{run}")
    other = tab.another(f"{shared_service.url}/#/runs/{run}")
    for count in range(1, 4):
        client.post(f"/runs/{run}/logs", json={"message": "to all"})
        for each in (tab, other):
            each.expect_state("live")
            each.expect_lines(count)
    for each, is_old in ((tab, True), (other, False)):
        loaded = [name for name, _ in each.page.evaluate(LOADED)]
        assert {"/static/0000000000000000/" in name for name in loaded} == {is_old}
    assert tab.errors == other.errors == []
