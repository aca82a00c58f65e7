"""Runs commands of the command line: those that end by themselves, and those that do not."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .follower import wait_until
from .patience import PATIENCE
from .scripts import environment


def athanor_(*arguments: str, folder: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run `athanor ARGUMENTS` in `folder`, with these `ATHANOR_` settings, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "athanor", *arguments],
        cwd=folder,
        env=environment(**settings),  # type: ignore[arg-type]
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


class Started:
    """A running command, and what it has printed."""

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self._log = folder / f"{arguments[0]}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "athanor", *arguments],
                cwd=folder,
                env=environment(**settings),  # type: ignore[arg-type]
                stdout=log,
                stderr=subprocess.STDOUT,
                # so that a signal can be sent to its group, as a terminal does
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """Its stdout and stderr so far."""
        return self._log.read_text()

    # the tests of workers use the old name
    said = output

    def wait_for(self, pattern: str) -> str:
        """Wait until the output matches `pattern`; returns its first group."""

        def found() -> bool:
            assert re.search(pattern, self.output) or self.process.poll() is None, self.output
            return re.search(pattern, self.output) is not None

        wait_until(found, f"{pattern!r} in its output")
        match = re.search(pattern, self.output)
        assert match is not None
        return match[1]


@contextlib.contextmanager
def started(folder: Path, *arguments: str, **settings: object) -> Iterator[Started]:
    """Start `athanor ARGUMENTS` in `folder`, and terminate it after the block."""
    command = Started(folder, *arguments, **settings)
    try:
        yield command
    finally:
        command.process.terminate()
        try:
            command.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # what hangs is reported, and reaped, so that no other test finds it
            command.process.kill()
            command.process.wait()
            raise AssertionError(f"does not end: {command.output}") from None
