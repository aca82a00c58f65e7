"""The documents and the code agree."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

import athanor
from athanor import AthanorError, Settings, events
from athanor.cli import main
from athanor.client.settings import ClientSettings
from athanor.protocol import metrics, records
from athanor.protocol.events import TYPES
from athanor.web.problems import problem_of
from athanor.web.routes import ENDPOINTS

from ..support.service import ROOT

README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"])
WIDTH = 100

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"(?:^|[|;&(] *)(?:\w+=\S+ )*(?:\S*/)?athanor ([a-z]+\b[^|>&;)\n]*)", re.MULTILINE)
"""A command in a shell's example, after variables and a folder."""
SETTING = re.compile(r"^\| `(ATHANOR_\w+)` \| (.+?) \|", re.MULTILINE)


def section(title: str, text: str = REFERENCE) -> str:
    """What stands below a heading, up to the next one of its level or of a higher one."""
    heading = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert heading is not None, title
    rest = text[heading.end() :]
    end = re.search(rf"^#{{1,{len(heading[1])}}} ", rest, re.MULTILINE)
    return rest if end is None else rest[: end.start()]


def table(text: str) -> dict[str, list[str]]:
    """The rows of all tables in `text`: the first cell's code, and the cells after it."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *others = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            assert first not in rows, line
            rows[first.strip("`")] = others
    return rows


def codes(text: str) -> list[str]:
    """What stands in backticks in `text`, outside fenced blocks."""
    return re.findall(r"`([^`]+)`", FENCED.sub("", text))


def signature(function: Any) -> str:
    """The parameters, as they are called: without `self`, annotations and the result."""
    shown = inspect.signature(function)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in shown.parameters.values()
        if parameter.name != "self"
    ]
    text = str(shown.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    text = text.replace(repr(os.environ), "os.environ")
    return re.sub(r"<class '[\w.]*\b(\w+)'>", r"\1", text)


def members(class_: type) -> dict[str, str]:
    """The public methods, with their parameters, and properties of a class of ours."""
    found = {}
    for name, member in vars(class_).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            found[name] = name
        elif callable(member) or isinstance(member, classmethod):
            found[name] = name + signature(getattr(class_, name))
    return found


# settings


def settings_of(text: str) -> dict[str, str]:
    return dict(SETTING.findall(text))


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    words = {
        "retention_days": "off",
        "retention_rows": "off",
        "max_streams_per_client": "off",
        "run_id": "none",
    }
    real = {}
    for default in (Settings(), ClientSettings()):
        for field in msgspec.structs.fields(type(default)):
            value = getattr(default, field.name)
            shown = f"{value:g}" if isinstance(value, float) else str(value)
            real[f"ATHANOR_{field.name.upper()}"] = words.get(
                field.name, f"`{shown}`" if shown else "none"
            )
    assert settings_of(REFERENCE) == real
    assert len(SETTING.findall(REFERENCE)) == len(real)


def test_settings_in_the_readme_are_those_of_the_reference() -> None:
    shown = settings_of(README)
    assert 0 < len(shown) < 5
    assert shown.items() <= settings_of(REFERENCE).items()


# the package


def test_every_public_name_is_in_the_reference() -> None:
    named = {word for code in codes(REFERENCE) for word in re.findall(r"\w+", code)}
    assert named >= {*athanor.__all__, *events.__all__}


def test_functions_are_in_the_reference_with_their_parameters() -> None:
    functions = {name for name in athanor.__all__ if inspect.isfunction(getattr(athanor, name))}
    assert len(functions) > 5
    for name in functions | {"Athanor", "LoggingHandler"}:
        assert name + signature(getattr(athanor, name)) in codes(REFERENCE)


@pytest.mark.parametrize(
    ("class_", "apart"), [(athanor.Run, {"begin", "release"}), (athanor.Athanor, set())]
)
def test_every_member_is_in_the_reference_with_its_parameters(class_: type, apart: set[str]) -> None:
    real = members(class_)
    documented = set(table(section(f"`{class_.__name__}`")))
    assert documented == {shown for name, shown in real.items() if name not in apart}
    for name in apart:
        assert f"`{class_.__name__}.{name}`" in REFERENCE


def test_members_of_settings_are_in_the_reference() -> None:
    documented = table(section("`Settings`"))
    assert set(members(Settings).values()) | {"Settings(*, …)"} == set(documented)


def test_every_exception_is_in_the_reference_with_its_base_and_its_status() -> None:
    documented = table(section("Exceptions"))
    real = {
        name: error
        for name in athanor.__all__
        if isinstance(error := getattr(athanor, name), type) and issubclass(error, AthanorError)
    }
    assert set(documented) == set(real)
    for name, (base, _, status) in documented.items():
        assert base == f"`{real[name].__mro__[1].__name__}`", name
        code = problem_of(real[name]("…")).status_code
        assert status == ("none" if code == 500 else str(code)), name


def test_every_event_is_in_the_reference_with_its_type_and_its_fields() -> None:
    documented = table(section("Python: events"))
    for name in events.__all__:
        event = getattr(events, name)
        if event is not events.Event:
            type_, fields, _ = documented.pop(name)
            assert type_ == f"`{event.__struct_config__.tag}`"
            assert {*codes(fields), "id"} == set(event.__struct_fields__), name
    for name, (fields,) in documented.items():
        record = getattr(records if hasattr(records, name) else metrics, name)
        if fields.startswith("those of"):
            base, *more = codes(fields)
            assert base == record.__mro__[1].__name__
            inherited = record.__mro__[1].__struct_fields__
            assert [*inherited, *more] == list(record.__struct_fields__), name
        else:
            assert codes(fields) == list(record.__struct_fields__), name


# the command line


def commands() -> dict[str, click.Command]:
    context = click.Context(main)
    found = {}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        found[name] = command
    return found


def options_of(command: click.Command) -> set[str]:
    """What may be given: an option's names together, an argument as usage shows it."""
    found = set()
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            if not parameter.hidden:
                found.add("` `".join(parameter.opts))
        else:
            found.add((parameter.metavar or str(parameter.name).upper()).removeprefix("-- "))
    return found


def test_every_command_is_in_the_reference_with_its_options() -> None:
    text = section("Command line")
    titles = re.findall(r"^### `athanor (\w+)`$", text, re.MULTILINE)
    assert titles == list(commands())
    for name, command in commands().items():
        documented = {option.replace("\\|", "|") for option in table(section(f"`athanor {name}`"))}
        assert documented == options_of(command), name


def test_options_of_athanor_itself_are_in_the_reference() -> None:
    context = click.Context(main, help_option_names=main.context_settings["help_option_names"])
    for parameter in main.get_params(context):
        for option in parameter.opts:
            assert re.search(rf"`(athanor )?{option}`", section("Command line")), option


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for path in DOCUMENTS:
        for kind, block in FENCED.findall(path.read_text()):
            if kind == language:
                yield path.name, block


def test_commands_in_examples_exist_with_their_options() -> None:
    seen = 0
    for name, block in blocks("sh"):
        for line in COMMAND.findall(block):
            words = shlex.split(line, comments=True)
            command = commands().get(words[0])
            assert command is not None, (name, line)
            mine = words[1 : words.index("--")] if "--" in words else words[1:]
            known = {option for parameter in command.params for option in parameter.opts}
            for word in mine:
                assert not word.startswith("-") or word.partition("=")[0] in known, (name, line)
            seen += 1
    assert seen > 20


def test_python_in_examples_can_be_compiled() -> None:
    seen = 0
    for name, block in blocks("python"):
        compile(block, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        for module, names in re.findall(r"^from (athanor[\w.]*) import ([\w, ]+)", block, re.MULTILINE):
            if "integrations" not in module:
                imported = __import__(module, fromlist=["*"])
                assert all(hasattr(imported, word.strip()) for word in names.split(",")), (name, names)
        seen += 1
    assert seen > 10


# the protocol and the architecture


def test_every_endpoint_and_event_is_in_the_protocol() -> None:
    for endpoint in ENDPOINTS:
        assert f"`{endpoint.method} {endpoint.path}`" in re.sub(r"` `\{.*?\}`", "`", PROTOCOL), (
            endpoint.path
        )
    for type_ in TYPES:
        assert f"`{type_}`" in PROTOCOL or re.search(rf"`[^`]*\b{type_}\b[^`]*`", PROTOCOL)


def test_every_module_is_in_the_architecture() -> None:
    for path in (ROOT / "athanor").glob("*"):
        name = path.stem
        if not name.startswith("_") and (path.is_dir() or path.suffix == ".py"):
            assert f"`{name}`" in ARCHITECTURE or f"`{name}/`" in ARCHITECTURE, name


# the README, and all documents


def test_readme_begins_with_run_and_test() -> None:
    first = re.findall(r"^## (\w+)\n+```sh\n(.*?)```", README, re.DOTALL | re.MULTILINE)
    assert [title for title, _ in first[:2]] == ["Run", "Test"]
    assert README.index("```") == README.index("```sh\n" + first[0][1])
    assert [block for _, block in FENCED.findall(README)[:2]] == [block for _, block in first[:2]]
    assert first[0][1] == (
        "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/athanor demo\n"
    )
    assert first[1][1] == (
        "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/python -m pytest\n"
    )
    prose = section("Test", README).rpartition("```")[2].strip()
    assert 1 <= len(prose.splitlines()) <= 2
    assert (ROOT / "docs" / "page.png").exists()


def anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as they are made from their text."""
    text = FENCED.sub("", path.read_text())
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_resolve(path: Path) -> None:
    text = re.sub(r"`[^`]*`", "", FENCED.sub("", path.read_text()))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.partition("#")
        assert ":" not in place, f"{link}: a document links to its own repository only"
        target = (path.parent / place).resolve() if place else path
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_prose_wraps(path: Path) -> None:
    for number, line in enumerate(outside_fences(path), 1):
        assert len(line) <= WIDTH or line.startswith("|"), f"{path.name}:{number}"


def outside_fences(path: Path) -> Iterator[str]:
    """Each line of a document, empty for those of a fenced block, so that numbers stay."""
    is_fenced = False
    for line in path.read_text().splitlines():
        is_fence = line.startswith("```")
        yield "" if is_fenced or is_fence else line
        is_fenced ^= is_fence
