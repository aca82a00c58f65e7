"""IPython: a run that is left open ends as its last cell did."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from ..support.patience import PATIENCE
from ..support.scripts import environment, messages
from ..support.service import Service

BEGIN = "import athanor; run = athanor.init('notebook', id='seen'); run.log('one')"
CELLS = {
    "an error in the cell of init": ([BEGIN + "; 1 / 0"], "failed", "ZeroDivisionError"),
    "an error in the last cell": ([BEGIN, "print('fine')", "1 / 0"], "failed", "ZeroDivisionError"),
    "an error that was corrected": ([BEGIN, "1 / 0", "print('fine')"], "completed", None),
    "an error before the run": (["1 / 0", BEGIN], "completed", None),
    "a syntax error": ([BEGIN, "x ="], "failed", "SyntaxError"),
    "an error in a script": ([BEGIN, "%run -i broken.py"], "failed", "ZeroDivisionError"),
    "no error": ([BEGIN, "2 + 2"], "completed", None),
    "an end in a cell": ([BEGIN, "run.finish()", "1 / 0"], "completed", None),
}
SHELL = """
import json, sys
from IPython.terminal.interactiveshell import TerminalInteractiveShell

shell = TerminalInteractiveShell.instance()
for cell in json.loads(sys.argv[1]):
    shell.run_cell(cell)
"""


@pytest.fixture(autouse=True)
def _ipython(need: Callable[[bool, str], None]) -> None:
    need(find_spec("IPython") is not None, "IPython")


def run(folder: Path, url: str, *command: str) -> int:
    (folder / "broken.py").write_text("1 / 0\n")
    environ = environment(url) | {"IPYTHONDIR": str(folder / "ipython"), "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode


@pytest.mark.parametrize("name", CELLS)
def test_a_run_ends_as_its_last_cell(service: Service, tmp_path: Path, name: str) -> None:
    import json

    cells, status, error = CELLS[name]
    run(tmp_path, service.url, "-c", SHELL, json.dumps(cells))
    ended = service.client().get("/runs/seen").json()
    assert ended["status"] == status
    assert (error or "") in (ended["error"] or "")
    assert (ended["error"] is None) is (error is None)
    assert messages(service.client(), "seen") == ["one"]


@pytest.mark.parametrize(
    ("code", "status"), [(BEGIN + "; 1 / 0", "failed"), (BEGIN, "completed")], ids=["error", "none"]
)
def test_a_run_under_ipython_c_ends_as_its_code(
    service: Service, tmp_path: Path, code: str, status: str
) -> None:
    run(tmp_path, service.url, "-m", "IPython", "--no-banner", "-c", code)
    assert service.client().get("/runs/seen").json()["status"] == status


def test_init_shows_a_link_in_a_notebook(service: Service, tmp_path: Path) -> None:
    """As Jupyter's shell, which has a kernel, and shows HTML below the cell."""
    shell = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from IPython.core.displaypub import CapturingDisplayPublisher\n"
        "shell = InteractiveShell.instance()\n"
        "shell.kernel = object()\n"
        "shell.display_pub = CapturingDisplayPublisher()\n"
        'shell.run_cell(\'import athanor; run = athanor.init("notebook", name="<b>")\')\n'
        "print(shell.display_pub.outputs[0]['data']['text/html'])\n"
    )
    environ = environment(service.url, quiet=0) | {"IPYTHONDIR": str(tmp_path / "ipython")}
    done = subprocess.run(
        [sys.executable, "-c", shell],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    (run,) = service.client().get("/runs").json()["runs"]
    address = f"{service.url}/#/runs/{run['id']}"
    assert done.stdout == f'athanor: run <a href="{address}" target="_blank">&lt;b&gt;</a>\n'
    assert "athanor: run" not in done.stderr
