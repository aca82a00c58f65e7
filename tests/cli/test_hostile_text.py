"""Whatever a service says and a spool holds, no command passes it to a terminal as it is."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from athanor import cli
from athanor.client import notices

from ..support.hostile import ALL, FORGED, HostileService, lone_replaced, unsafe_in
from ..support.scripts import environment
from ..support.service import ROOT
from ..support.terminals import Terminal

ASKED = {
    "tail": [
        ["tail", "good"],
        ["tail", "good", "--json"],
        ["tail", "-n", "1", "--level", "info", "good"],
    ],
    "open": [["open"], ["open", "good"]],
    "runs": [["runs"], ["runs", "--json"], ["runs", "--status", "stale"], ["runs", "-i", "none"]],
    "cancel": [["cancel", "good"], ["cancel", "good", "--wait"], ["cancel", "latest"]],
    "delete": [["delete", "--yes", "good"], ["delete", "good"], ["delete", "--yes", "latest"]],
    "export": [["export", "latest"]],
}
"""Calls of each command that shows what a service says."""
SILENT = {"serve", "demo", "run", "pipe", "sync"}
"""They ask no service for text, except for problems, which go through the client's notices."""


@pytest.fixture(autouse=True)
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webbrowser.open", lambda address: not unsafe_in(address))


@pytest.fixture(scope="module")
def hostile() -> Iterator[HostileService]:
    with HostileService() as service:
        yield service


def shown_by(arguments: list[str], url: str) -> str:
    """All that the command prints to stdout and stderr."""
    result = CliRunner().invoke(cli.main, [*arguments, "--url", url])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_every_command_is_here() -> None:
    listed = cli.main.list_commands(click.Context(cli.main))
    assert set(listed) == set(ASKED) | SILENT


@pytest.mark.parametrize(
    "arguments", [call for name in ASKED if name != "export" for call in ASKED[name]], ids=" ".join
)
def test_fields_of_the_service_are_safe(hostile: HostileService, arguments: list[str]) -> None:
    shown = shown_by(arguments, hostile.url)
    assert shown
    assert not unsafe_in(shown)
    assert "\nathanor: forged" not in shown
    assert "can't be read" not in shown
    if "--json" in arguments:
        first = json.loads(shown.splitlines()[0])
        assert first.get("run", first)["metadata"]["name"] == lone_replaced(ALL)


@pytest.mark.parametrize("status", [404, 422, 503])
def test_problems_are_one_safe_line(status: int) -> None:
    with HostileService(status) as service:
        for arguments in (calls[0] for calls in ASKED.values()):
            shown = shown_by(arguments, service.url)
            assert "forged" in shown
            assert not unsafe_in(shown)
            assert len(shown.splitlines()) == 1


def test_arguments_are_safe_in_errors(hostile: HostileService) -> None:
    for arguments in (["\x1b]0;x\x07"], ["tail", "--\x1b]0;x\x07"], ["runs", "--limit", "\x9b1"]):
        assert not unsafe_in(shown_by(arguments, hostile.url))


@pytest.mark.parametrize("form", ["csv", "ndjson", "json"])
def test_export_is_safe_on_a_terminal_and_exact_elsewhere(
    hostile: HostileService, form: str, tmp_path: Path
) -> None:
    arguments = ["export", "good", "--format", form, "--exact"]
    path = tmp_path / "out"
    shown_by([*arguments, "-o", str(path)], hostile.url)
    exact = path.read_bytes().decode()
    assert (lone_replaced(ALL) if form == "csv" else "\u202eoverride") in exact
    with Terminal(
        [sys.executable, "-m", "athanor", *arguments], ROOT, environment(hostile.url), columns=200
    ) as terminal:
        assert terminal.wait() == 0
        shown = terminal.shown.replace("\r\n", "\n")
    assert not unsafe_in(shown)
    if form != "csv":
        assert json.loads(shown[shown.index("{") :]) == json.loads(exact)


def test_sync_names_files_and_runs_safely(hostile: HostileService, tmp_path: Path) -> None:
    state = b'{"version":1,"base":0,"sent":0}'.ljust(127) + b"\n"
    registration = {"run_id": ALL, "instance": ALL, "producer": "p", "url": hostile.url}
    path = tmp_path / "a\x1b]0;x\x07\u202e.ndjson"
    path.write_bytes(state + lone_replaced(json.dumps(registration)).encode() + b"\n")
    (tmp_path / "b\x9b\n.ndjson").write_bytes(b"\x1b]0;no spool\x07\n" * 3)
    result = CliRunner().invoke(cli.main, ["sync", str(tmp_path), "--url", hostile.url])
    assert "is kept" in result.output
    assert not unsafe_in(result.output)


def test_notices_are_one_safe_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False) as stderr:
        monkeypatch.setattr(sys, "__stderr__", stderr)
        notices.write_notice(FORGED + ALL)
    shown = capfd.readouterr().err
    assert not unsafe_in(shown)
    assert len(shown.splitlines()) == 1
    assert shown.startswith("athanor: a\\nathanor: forged")


def test_commands_print_only_by_the_functions_that_sanitize() -> None:
    """`terminal` has these functions; `Trouble.show` and `export` sanitize themselves."""
    found = set()
    for path in (ROOT / "athanor" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if re.fullmatch(r"print|click\.s?echo|sys\.(stdout|stderr)\.write|write_notice", name):
                    found.add((path.stem, name))
    assert found == {
        ("terminal", "click.echo"),
        ("terminal", "sys.stdout.write"),
        ("service", "click.echo"),
    }
