"""`curl -N` shows what another `curl` sends."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from collections.abc import Callable

from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import Service


def test_a_line_posted_by_curl_appears_in_curl(
    service: Service, need: Callable[[bool, str], None]
) -> None:
    need(shutil.which("curl") is not None, "curl")

    def curl(method: str, path: str, *data: str) -> str:
        body = [part for text in data for part in ("-d", text)]
        command = ["curl", "-sS", "--fail", "-X", method, service.url + path, *body]
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=PATIENCE
        ).stdout

    curl("PUT", "/instances/digits", '{"name": "Digits"}')
    curl("POST", "/instances/digits/runs", '{"id": "first"}')
    curl("POST", "/runs/first/start")
    watched = service.folder / "watched"
    with watched.open("wb") as out:
        watching = subprocess.Popen(
            ["curl", "-sSN", f"{service.url}/events/experiments:run:first"], stdout=out
        )
    wait_until(lambda: "retry:" in watched.read_text(), "the stream")
    database = sqlite3.connect(service.database)
    for number in range(20):
        assert '"accepted":1' in curl("POST", "/runs/first/logs", f"line {number} & more")
        # the entry is on disk when the response comes, and before it is shown
        shown = watched.read_text().count('"message":')
        stored = [m for (m,) in database.execute("SELECT message FROM logs ORDER BY seq")]
        assert stored == [f"line {n} & more" for n in range(number + 1)]
        assert shown <= len(stored)
        wait_until(lambda: f'"line {number} & more"' in watched.read_text(), "the line")  # noqa: B023
    database.close()
    curl("POST", "/runs/first/complete")
    assert watching.wait(PATIENCE) == 0
    assert "event: run_completed\n" in watched.read_text()
