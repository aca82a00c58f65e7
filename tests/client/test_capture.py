"""Capturing what is printed, whatever stdout and stderr are: missing, closed, replaced, strict."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..support.patience import PATIENCE
from ..support.scripts import Scripts, environment, messages
from ..support.service import Service

DAEMON = """
import sys, warnings
import athanor

out = open("marks", "w")
with athanor.init("daemon", id="seen") as run:
    run.capture()
    print("one")
    print("to stderr", file=sys.stderr)
    warnings.warn("careful")
    sys.stdout.flush()
    sys.stderr.flush()
    out.write(f"{sys.stdout.isatty()} {sys.stdout.encoding} {sys.stdout.writable()}\\n")
    print("two")
out.write("end\\n")
out.close()
"""


@pytest.mark.parametrize("redirect", [">&-", "2>&-", ">&- 2>&-"])
def test_a_process_without_stdout_or_stderr_prints_and_is_captured(
    service: Service, tmp_path: Path, redirect: str
) -> None:
    (tmp_path / "script.py").write_text(DAEMON)
    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} script.py {redirect}"],
        cwd=tmp_path,
        env=environment(service.url),
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "marks").read_text().split() == ["False", "utf-8", "True", "end"]
    logged = messages(service.client(), "seen")
    assert logged[0] == "one"
    assert logged[-1] == "two"
    assert "to stderr" in logged
    assert any("careful" in text for text in logged)


FAULTS = {
    "closed": ("sys.stdout.close()", "ValueError"),
    "no space": ("sys.stdout = open('/dev/full', 'w', buffering=1)", "OSError"),
    "strict ASCII": ("sys.stdout = open(os.devnull, 'w', encoding='ascii')", "UnicodeEncodeError"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_stream_that_raises_still_raises_and_the_text_is_captured(
    service: Service, scripts: Scripts, name: str
) -> None:
    fault, error = FAULTS[name]
    script = scripts(
        f"""
import os, sys
import athanor

with athanor.init("faults", id="seen") as run:
    {fault}
    capture = run.capture()
    try:
        print("é")
    except Exception as error:
        sys.__stderr__.write(type(error).__name__ + "\\n")
    capture.close()
sys.stdout = None
""",
        service.url,
    )
    assert script.run() == 0, script.stderr
    assert error in script.stderr
    assert "é" in messages(service.client(), "seen")


def test_streams_that_are_replaced_after_us_and_put_back_keep_working(
    service: Service, scripts: Scripts
) -> None:
    script = scripts(
        """
import contextlib, io, sys
import athanor

with athanor.init("replaced", id="seen") as run:
    one = run.capture()
    with contextlib.redirect_stdout(io.StringIO()) as buffer:
        print("hidden")
    two = run.capture()
    one.close()
    print("seen")
    two.close()
    print("not captured")
    sys.stdout.write("end\\n")
""",
        service.url,
    )
    assert script.run() == 0, script.stderr
    assert script.stdout.splitlines() == ["seen", "not captured", "end"]
    assert messages(service.client(), "seen") == ["seen"]


def test_pytest_captures_as_before_and_so_do_we(service: Service, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
import athanor

def test_it(capsys):
    with athanor.init("pytest", id="seen") as run:
        run.capture()
        print("in a test")
    assert capsys.readouterr().out == "in a test\\n"
"""
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=environment(service.url),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert messages(service.client(), "seen") == ["in a test"]
