"""What can be known of a program before it runs: its name, its origin, whether it will call `init`."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..client.secrets import hidden_arguments

GIT_TIMEOUT = 2.0
"""Seconds that git may take to describe the folder."""
MAX_SCRIPT = 1 << 20
"""Bytes of a file that are searched; a longer one is no script."""
MAX_SCRIPTS = 50
"""Files that are searched at most."""

_INTERPRETERS = ("python", "bash", "sh", "node", "ruby", "perl", "Rscript", "julia")


def name_of(arguments: tuple[str, ...]) -> str:
    """The program that a command line runs: `train.py` in `python -u train.py --lr 1`."""
    first, *rest = arguments
    name = Path(first).name
    if not name.startswith(_INTERPRETERS):
        return name
    if "-m" in rest[:-1]:
        return rest[rest.index("-m") + 1]
    # the first argument that looks like a file: options have arguments too (`-W error`)
    scripts = (word for word in rest if not word.startswith("-") and Path(word).suffix)
    return Path(next(scripts, name)).name if "-c" not in rest else name


def origin_of(arguments: tuple[str, ...]) -> dict[str, Any]:
    """Metadata: the command line without secrets, the folder, and the state of its git repository."""
    origin: dict[str, Any] = {"command": hidden_arguments(arguments)}
    # the folder may be deleted
    with contextlib.suppress(OSError):
        origin["cwd"] = str(Path.cwd())
    commit = _git("rev-parse", "HEAD")
    if commit:
        changes = _git("status", "--porcelain", "--untracked-files=no")
        origin["git"] = {"commit": commit, "dirty": bool(changes)}
    return origin


def may_call_init(program: str, arguments: tuple[str, ...]) -> bool:
    """Whether the command's scripts, or the scripts that they name, mention Athanor."""
    if any("athanor" in argument for argument in arguments[1:]):
        return True
    texts = [_text(path) for path in _scripts([program, *arguments[1:]])]
    called = (word for text in texts for word in re.findall(r"[\w./-]+\.py\b|(?<=-m )[\w.]+", text))
    texts += [_text(path) for path in _scripts(called)]
    return any("athanor" in text for text in texts)


def _scripts(words: Iterable[str]) -> list[Path]:
    """The files that are meant: `train.py`, or `package/train.py` by `package.train`."""
    found: dict[Path, None] = {}
    for word in words:
        module = Path(*word.split(".")) if re.fullmatch(r"\w+(\.\w+)*", word) else None
        paths = [Path(word)]
        if module is not None:
            paths += [module.with_suffix(".py"), module / "__main__.py"]
        found |= dict.fromkeys(filter(_is_file, paths))
        if len(found) >= MAX_SCRIPTS:
            break
    return list(found)


def _is_file(path: Path) -> bool:
    """False too for what can be no path, such as the long text after `-c`."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    """The text of a script; empty for what is none."""
    try:
        if path.stat().st_size > MAX_SCRIPT:
            return ""
        data = path.read_bytes()
    except OSError:
        return ""
    return "" if b"\0" in data else data.decode("utf-8", "replace")


def _git(*arguments: str) -> str:
    """What git answers about the current folder; empty without git, or outside a repository."""
    command = ("git", "--no-optional-locks", *arguments)
    environ = {**os.environ, "LC_ALL": "C"}
    try:
        # git is found as the user's shell finds it
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=GIT_TIMEOUT, env=environ, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
