"""The house: imports go down only, never in a circle, and what stands where is written down here."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "athanor"

FLOORS: tuple[tuple[str, ...], ...] = (
    ("exceptions", "version", "topics", "cursor", "config"),
    ("encoding", "records", "events", "entries", "inputs", "selection", "frames", "forms", "inbox"),
    ("ring", "hub", "ledger", "changes", "store", "client"),
    ("progress", "pulse", "gossip", "flusher", "relay", "keeper", "known_runs", "source", "subscription"),
    ("engine",),
    ("web",),
    ("shutdown", "application"),
    ("embedding", "server", "cli", "integrations", "__main__", "__init__"),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def modules() -> dict[str, set[str]]:
    """Each module, as `store.commit`, with the project's modules that it imports at run time."""
    found: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        package = parts[:-1]
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and package else parts)
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.level:
                continue
            base = package[: len(package) - node.level + 1]
            for alias in node.names:
                target = (*base, *(node.module.split(".") if node.module else ()))
                with_name = PACKAGE.joinpath(*target, alias.name)
                if with_name.with_suffix(".py").exists() or with_name.is_dir():
                    target = (*target, alias.name)
                found[name].add(".".join(target))
    return found


def test_every_module_has_a_floor() -> None:
    assert {name.split(".")[0] for name in modules()} == set(FLOOR)


def test_imports_go_down_only() -> None:
    upwards = [
        f"{name} imports {target}"
        for name, targets in modules().items()
        for target in targets
        if FLOOR[target.split(".")[0]] > FLOOR[name.split(".")[0]] and name != "__init__"
    ]
    assert not upwards


def test_client_stands_apart() -> None:
    """A producer shares the vocabulary with the service, and nothing else."""
    for name, targets in modules().items():
        for target in targets:
            of, to = name.split(".")[0], target.split(".")[0]
            if of == "client" and to != "client":
                assert FLOOR[to] <= 1, f"{name} imports {target}"
            elif to == "client" and of != "client":
                assert FLOOR[of] == len(FLOORS) - 1, f"{name} imports {target}"


def test_imports_make_no_circle() -> None:
    graph = modules()
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' imports '.join((*path, name))}"
        if name not in done:
            for target in graph[name] & graph.keys():
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_only_the_store_speaks_sql_or_knows_the_database() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "store":
            tree = ast.parse(path.read_text())
            imported = {
                alias.name if isinstance(node, ast.Import) else str(node.module)
                for node in ast.walk(tree)
                if isinstance(node, ast.Import | ast.ImportFrom)
                for alias in node.names
            }
            assert not imported & {"databases", "aiosqlite", "sqlite3", "asyncpg"}, path


def test_the_core_does_no_io() -> None:
    for name in (
        "ring",
        "ledger",
        "changes",
        "events",
        "topics",
        "entries",
        "frames",
        "forms",
        "selection",
    ):
        source = (PACKAGE / f"{name}.py").read_text()
        assert "asyncio" not in source.replace("nothing of asyncio", ""), name
