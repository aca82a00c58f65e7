"""Tests of what a user installs: sdist and wheel are complete, the page and the types included."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import athanor

from ..support import plain
from ..support.follower import wait_until
from ..support.patience import PATIENCE
from ..support.service import ROOT

CONSUMER = '''
"""A user's module. Without types, `assert_type` and the unused `type: ignore` are errors."""

from __future__ import annotations

from typing import assert_type

import athanor
from athanor.events import Event, RunCompleted, RunLogs

with athanor.init("digits", name="baseline", config={"lr": 3e-4}) as run:
    assert_type(run, athanor.Run)
    assert_type(run.id, str)
    assert_type(run.cancelled, bool)
    run.log({"loss": 0.31}, step=1)
    run.progress("three", 10)  # type: ignore[arg-type]
    for epoch in run.track(range(3), "train"):
        assert_type(epoch, int)

for event in athanor.subscribe("experiments:runs"):
    assert_type(event, Event)
    if isinstance(event, RunLogs):
        assert_type([log.message for log in event.logs], list[str])

settings = athanor.Settings(port=0)
assert_type(settings.port, int)
app = athanor.create_app(settings)
assert_type(app, athanor.Application)
assert_type(app.engine, athanor.Athanor)
assert_type(athanor.app, athanor.Application)


async def watch(run_id: str) -> str | None:
    async with athanor.subscribe_to_run(run_id) as events:
        async for event in events:
            assert_type(event, Event)
            match event:
                case RunCompleted(run=run):
                    assert_type(run.id, str)
                    return run.error
    return None
'''


class Distributions(NamedTuple):
    """What `python -m build` makes."""

    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist of this checkout, and the wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=PATIENCE)
    (sdist,) = folder.glob("athanor_sse-*.tar.gz")
    (wheel,) = folder.glob("athanor_sse-*.whl")
    return Distributions(sdist, wheel)


@pytest.fixture
def python(built: Distributions, tmp_path: Path) -> Path:
    """The interpreter of a new environment: the wheel, and the dependencies of this environment."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    subprocess.run([*install, str(built.wheel)], check=True, capture_output=True, timeout=PATIENCE)
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv", paths))
    # what the wheel installed is found before what lies in these folders
    folders = [path for path in sys.path if path.endswith("site-packages")]
    (site / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in folders))
    return python


def environment() -> dict[str, str]:
    """The variables of this process, without those that configure Athanor or Python's search path."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("ATHANOR_", "PYTHON", "MYPY"))}


def test_the_sdist_holds_what_a_contributor_needs(built: Distributions) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    files = "LICENSE README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md Makefile Containerfile app.py"
    hidden = ".ci/run .dockerignore .editorconfig .pre-commit-config.yaml"
    others = "athanor/py.typed docs/protocol.md tests/conftest.py benchmarks/README.md examples/digits.py"
    assert {*files.split(), *hidden.split(), *others.split()} <= names


def test_the_wheel_holds_the_page_the_license_and_the_types(built: Distributions) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
        info = f"{'-'.join(built.wheel.name.split('-')[:2])}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    assert {"athanor/static/index.html", "athanor/static/app.js", "athanor/py.typed"} <= names
    assert f"{info}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"athanor", info}
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nAuthor: The Athanor authors\n" in metadata


def test_wheel_serves_the_service_and_its_page(python: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    path = tmp_path / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "athanor", "serve"],
            cwd=home,
            env=environment() | {"ATHANOR_PORT": "0"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def is_up() -> bool:
        assert process.poll() is None, path.read_text()
        return " is at http" in path.read_text()

    try:
        wait_until(is_up, "the service")
        found = re.search(r"http://127\.0\.0\.1:\d+", path.read_text())
        assert found is not None
        with plain.client(base_url=found[0]) as client:
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
        assert process.wait(PATIENCE) == 0


def test_mypy_sees_the_types_of_an_installed_wheel(
    python: Path, tmp_path: Path, need: Callable[[bool, str], None]
) -> None:
    need(importlib.util.find_spec("mypy") is not None, "mypy: install the extra `check`")
    folder = tmp_path / "consumer"
    folder.mkdir()
    (folder / "consumer.py").write_text(CONSUMER)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]
    command += ["--config-file=", "--cache-dir", str(tmp_path / "cache"), "consumer.py"]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # it checked the wheel's package, and not this checkout
    where = [str(python), "-c", "import athanor; print(athanor.__file__)"]
    module = subprocess.run(where, cwd=folder, env=environment(), capture_output=True, text=True)
    assert module.stdout.startswith(str(tmp_path / "venv"))
