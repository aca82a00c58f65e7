"""The command line as a person uses it: commands that end, and commands that stay."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .follower import wait_until
from .scripts import environment


def athanor_(*arguments: str, folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "athanor", *arguments],
        cwd=folder,
        env=environment(**settings),  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=60,
    )


class Started:
    """A command that stays, and what it has printed."""

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self._log = folder / f"{arguments[0]}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "athanor", *arguments],
                cwd=folder,
                env=environment(**settings),  # type: ignore[arg-type]
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal of its own, so to speak
            )

    @property
    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, pattern: str) -> str:
        """The first group of `pattern`, once it was said."""

        def found() -> bool:
            assert re.search(pattern, self.said) or self.process.poll() is None, self.said
            return re.search(pattern, self.said) is not None

        wait_until(found, f"{pattern!r} in what it says")
        match = re.search(pattern, self.said)
        assert match is not None
        return match[1]


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **settings: object) -> Iterator[Started]:
    command = Started(folder, *arguments, **settings)
    try:
        yield command
    finally:
        command.process.terminate()
        command.process.wait(30)
