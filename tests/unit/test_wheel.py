"""What is installed from a wheel is all there, the page included."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx

import athanor

from ..support.follower import wait_until
from ..support.service import ROOT


def test_wheel_serves_the_service_and_its_page(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("athanor_sse-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"athanor/static/index.html", "athanor/static/app.js"} <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "athanor",
        f"{'-'.join(wheel.name.split('-')[:2])}.dist-info",
    }

    # the wheel's own package, and this environment's dependencies behind it
    venv.create(tmp_path / "venv", with_pip=False)
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    paths = [str(site), *(path for path in sys.path if path.endswith("site-packages"))]
    environ = {k: v for k, v in os.environ.items() if not k.startswith("ATHANOR_")}
    environ |= {"PYTHONPATH": os.pathsep.join(paths), "ATHANOR_PORT": "0"}
    home = tmp_path / "home"
    home.mkdir()
    python = str(tmp_path / "venv" / "bin" / "python")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "athanor", "serve"],
            cwd=home,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: " is at http" in (tmp_path / "log").read_text(), "the service")
        found = re.search(r"http://127\.0\.0\.1:\d+", (tmp_path / "log").read_text())
        assert found is not None
        with httpx.Client(base_url=found[0]) as client:
            page = client.get("/")
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            assets = re.findall(r'(?:href|src)="(static/[^"]+)"', page.text)
            assert len(assets) >= 3
            for asset in assets:
                assert client.get(f"/{asset}").status_code == 200
            assert client.get("/openapi.json").json()["info"]["version"] == athanor.__version__
        assert (home / "athanor.db").exists()
    finally:
        process.terminate()
        assert process.wait(10) == 0
