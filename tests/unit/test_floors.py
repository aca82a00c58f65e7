"""Folders are floors: imports go down only, never in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent.parent.parent / "athanor"

FLOORS = ("protocol", "domain", "store", "live", "cluster", "engine", "access", "web", "cli")
"""From the lowest to the highest; a folder imports from those before it and from the root."""
ROOT = {"exceptions", "version", "config", "database_url", "events", "__init__", "__main__"}
"""The modules directly in `athanor/`; `events` re-exports, and the last two start things."""
BASE = ROOT - {"events", "__init__", "__main__"}
SIDE = {"client": {"protocol"}, "integrations": {"client"}}
"""Folders beside the tower, each with the folders it may see."""

DATABASES = {"databases", "aiosqlite", "sqlite3", "asyncpg"}
PURE = {
    *("__future__", "abc", "collections", "collections.abc", "contextlib", "dataclasses"),
    *("datetime", "functools", "itertools", "json", "math", "operator", "re", "secrets", "time"),
    *("types", "typing", "msgspec"),
}
"""All that `protocol` and `domain` import from outside: no I/O, no asyncio."""


def imports_of(path: Path) -> tuple[set[str], set[str]]:
    """The project's modules, as `store.commit`, and the foreign ones that a file imports."""
    package = path.relative_to(PACKAGE).parts[:-1]
    ours: set[str] = set()
    foreign: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            foreign |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            foreign.add(str(node.module))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                target = (*base, *(node.module.split(".") if node.module else ()))
                with_name = PACKAGE.joinpath(*target, alias.name)
                if with_name.with_suffix(".py").exists() or with_name.is_dir():
                    target = (*target, alias.name)
                ours.add(".".join(target))
    return ours, foreign


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def imports() -> dict[str, tuple[set[str], set[str]]]:
    """What each module imports; read by the first test that asks, not by all who collect."""
    return {name_of(path): imports_of(path) for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def graph() -> dict[str, set[str]]:
    return {name: ours for name, (ours, _) in imports().items()}


@cache
def foreign() -> dict[str, set[str]]:
    return {name: others for name, (_, others) in imports().items()}


def folder_of(name: str) -> str:
    return name.partition(".")[0]


def seen_by(folder: str) -> set[str]:
    """The folders and root modules that a folder may import from."""
    if folder in SIDE:
        return {folder, *SIDE[folder], *BASE}
    below = FLOORS[: FLOORS.index(folder) + 1]
    # the commands are clients of the service as well
    return {*below, *BASE, *({"client"} if folder == "cli" else ())}


def test_every_module_has_a_floor_and_few_stand_outside() -> None:
    assert {folder_of(name) for name in graph()} == {*FLOORS, *SIDE, *ROOT}
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_imports_go_down_only() -> None:
    upwards = [
        f"{name} imports {target}"
        for name, targets in graph().items()
        if folder_of(name) not in ROOT
        for target in targets
        if folder_of(target) not in seen_by(folder_of(name))
    ]
    assert not upwards


def test_root_modules_stand_below_the_folders() -> None:
    for name in BASE:
        assert {folder_of(target) for target in graph()[name]} <= BASE, name
    assert {folder_of(target) for target in graph()["events"]} == {"protocol"}


def test_imports_make_no_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' imports '.join((*path, name))}"
        if name not in done:
            for target in graph()[name] & graph().keys():
                visit(target, (*path, name))
            done.add(name)

    for name in graph():
        visit(name, ())


def test_only_the_store_knows_the_database() -> None:
    for name, modules in foreign().items():
        if folder_of(name) != "store":
            assert not {module.partition(".")[0] for module in modules} & DATABASES, name


def test_http_does_not_go_around_the_engine() -> None:
    around = [name for name in graph() if folder_of(name) == "web" for target in graph()[name]
              if folder_of(target) == "store"]  # fmt: skip
    assert not around


def test_protocol_and_domain_do_no_io() -> None:
    for name, modules in foreign().items():
        if folder_of(name) in ("protocol", "domain"):
            assert modules <= PURE, f"{name} imports {sorted(modules - PURE)}"


def test_the_ring_knows_nothing_of_asyncio() -> None:
    assert foreign()["engine.ring"] <= PURE


def test_every_folder_says_what_lives_there_and_what_may_not() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        assert docstring, path
        if path.parent != PACKAGE:
            assert len(docstring.replace("\n", " ").rstrip(".").split(". ")) >= 2, path
