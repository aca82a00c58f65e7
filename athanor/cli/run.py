"""`athanor run -- COMMAND`: any program as a run, unchanged."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click

from ..client.init import init
from ..client.run import Run
from ..client.settings import ClientSettings
from ..exceptions import AthanorError
from .descendants import with_descendants
from .pseudo_terminals import Terminals
from .tee import Tee

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
LOOK = 0.25
"""Seconds between two looks at the program, and at whether it was asked to end."""
PATIENCE = 10.0
"""Seconds between SIGINT, SIGTERM and SIGKILL for a program whose run was asked to end."""
LAST_WORDS = 1.0
"""Seconds that output is waited for which a child of the program may still hold open."""


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--instance", "-i", help="What it is a run of; the program's name unless it is given.")
@click.option("--name", "-n", help="What this run is called.")
@click.option("--url", help="Where the service is; ATHANOR_URL.")
@click.argument("arguments", metavar="-- COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
def command(instance: str | None, name: str | None, url: str | None, arguments: tuple[str, ...]) -> None:
    """Run a program, and show what it prints as a run.

    \b
    athanor run -- python train.py --lr 3e-4
    athanor run --instance digits --name baseline -- ./train.sh

    Lines of stdout and stderr are its log, its bars are progress, its exit code decides how the run
    ends, and is the exit code here. Signals reach it. `athanor cancel` interrupts it as Ctrl-C does.
    The command line is the log's first line. A program that reports by itself (athanor.init) reports
    to this run. When the service is away, it runs all the same: `athanor sync` delivers later.
    """
    program = shutil.which(arguments[0])
    if program is None:
        found = Path(arguments[0]).exists()
        click.echo(f"athanor: {arguments[0]}: {'not executable' if found else 'not found'}", err=True)
        sys.exit(126 if found else 127)
    heard = _hear()
    try:
        url = ClientSettings.from_env(url=url).url
        run = init(instance or name_of(arguments), name=name, url=url)
    except AthanorError as error:
        raise click.UsageError(str(error)) from None
    run.info(f"$ {shlex.join(arguments)}")
    sys.exit(Program(run, url, arguments, heard).wait())


def _hear() -> set[signal.Signals]:
    """The signals that are to reach the program; all threads from here on leave them to one."""
    heard = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, (*heard, signal.SIGWINCH))
    return heard  # without those that `nohup`, for one, had us ignore


def name_of(arguments: tuple[str, ...]) -> str:
    """What a command line runs: `train.py` of `python -u train.py --lr 1`, `make` of `make all`."""
    first, *rest = arguments
    name = Path(first).name
    if not name.startswith(("python", "bash", "sh", "node", "ruby", "perl", "Rscript", "julia")):
        return name
    if "-m" in rest[:-1]:
        return rest[rest.index("-m") + 1]
    # the first word that looks like a file, for options have words of their own (`-W error`)
    scripts = (word for word in rest if not word.startswith("-") and Path(word).suffix)
    return Path(next(scripts, name)).name if "-c" not in rest else name


class Program:
    """The program while it runs: its output, its signals, and the end of its run."""

    def __init__(
        self, run: Run, url: str, arguments: tuple[str, ...], heard: set[signal.Signals]
    ) -> None:
        self._run = run
        self._heard = heard
        self._terminals = Terminals()
        self._signalled: int | None = None
        """The last signal that went to it and would end it."""
        self._asked_at: float | None = None
        self._sent: list[int] = []
        environ = {"PYTHONUNBUFFERED": "1", **os.environ}
        environ |= {"ATHANOR_RUN_ID": run.id, "ATHANOR_URL": url}
        try:
            self._process = self._start(arguments, environ)
        except OSError as error:
            run.fail(f"{arguments[0]} can't be run: {error.strerror}")
            raise click.ClickException(f"{arguments[0]} can't be run: {error.strerror}") from None
        out, err = self._terminals.out, self._terminals.err
        self._terminals.close_theirs()
        self._tees = [Tee(run, out.ours, sys.stdout.fileno())]
        if err is not out:
            self._tees.append(Tee(run, err.ours, sys.stderr.fileno(), "stderr"))
        threading.Thread(target=self._forward, name="signals", daemon=True).start()

    def _start(self, arguments: tuple[str, ...], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        """It inherits what this thread blocks, so for this moment that is nothing."""
        for number in self._heard:
            signal.signal(number, self._on_early_signal)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, (*self._heard, signal.SIGWINCH))
        try:
            return subprocess.Popen(  # noqa: S603 - to run what one is given is its purpose
                arguments,
                env=environ,
                stdout=self._terminals.out.theirs,
                stderr=self._terminals.err.theirs,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wait(self) -> int:
        """Until it has ended, and its run with it; the exit code, as a shell has it."""
        for tee in self._tees:
            tee.start()
        while True:
            try:
                code = self._process.wait(LOOK)
                break
            except subprocess.TimeoutExpired:
                self._look()
        deadline = time.monotonic() + LAST_WORDS
        for tee in self._tees:
            tee.join(max(0.0, deadline - time.monotonic()))
            tee.close()
        self._end(code)
        return code if code >= 0 else 128 - code

    def _look(self) -> None:
        """End it, ever less politely, if its run was asked to end."""
        if not self._run.cancelled:
            return
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        steps = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        due = steps[: int((now - self._asked_at) / PATIENCE) + 1]
        if len(due) > len(self._sent):
            self._sent.append(due[-1])
            for pid in list(with_descendants(self._process.pid)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, due[-1])

    def _end(self, code: int) -> None:
        died_of = -code if code < 0 else code - 128
        if self._asked_at is not None or (self._signalled and died_of == self._signalled):
            self._run.cancel()
        elif code == 0:
            self._run.finish()
        elif code > 0:
            self._run.fail(f"exit code {code}")
        else:
            self._run.fail(f"killed by {_name(-code)}")

    def _send(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _on_early_signal(self, number: int, _: object) -> None:
        """Between two breaths, before the thread takes them."""
        self._signalled = number

    def _forward(self) -> None:
        if self._signalled is not None:
            self._send(self._signalled)
        while True:
            heard = signal.sigwaitinfo((*self._heard, signal.SIGWINCH))
            if heard.si_signo == signal.SIGWINCH:
                self._terminals.resize()
            elif heard.si_signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                self._signalled = heard.si_signo
            # what a terminal sends (its keys, its size), it sends to all who are in front of it
            if heard.si_code <= 0 or heard.si_signo == signal.SIGWINCH:
                self._send(heard.si_signo)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
