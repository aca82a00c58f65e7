"""`athanor run -- COMMAND`: record any program's output as a run."""

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
from .pseudo_terminals import Channels
from .tee import Tee

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
POLL_INTERVAL = 0.25
"""Seconds between two checks of the program and of its run."""
GRACE = 10.0
"""Seconds between SIGINT, SIGTERM and SIGKILL for a program whose run was asked to end."""
DRAIN_TIMEOUT = 1.0
"""Seconds to wait for the end of output that a child of the program may still hold open."""


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--instance", "-i", help="The instance's name; default: the program's.")
@click.option("--name", "-n", help="The run's name.")
@click.option("--url", help="The service; default: ATHANOR_URL.")
@click.argument("arguments", metavar="-- COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
def command(instance: str | None, name: str | None, url: str | None, arguments: tuple[str, ...]) -> None:
    """Run a program, and record its output as a run.

    \b
    athanor run -- python train.py --lr 3e-4
    athanor run --instance digits --name baseline -- ./train.sh

    The log's first line is the command line; then come the lines of stdout and stderr. Bars become
    progress. The program's exit code decides how the run ends, and is the exit code here. Signals
    are passed on. `athanor cancel` interrupts the program as Ctrl-C does. A program that calls
    athanor.init reports to this run. Without a service the program runs all the same: `athanor
    sync` delivers later.
    """
    program = shutil.which(arguments[0])
    if program is None:
        found = Path(arguments[0]).exists()
        click.echo(f"athanor: {arguments[0]}: {'not executable' if found else 'not found'}", err=True)
        sys.exit(126 if found else 127)
    signals = _block_signals()
    try:
        url = ClientSettings.from_env(url=url).url
        run = init(instance or name_of(arguments), name=name, url=url)
    except AthanorError as error:
        raise click.UsageError(str(error)) from None
    run.info(f"$ {shlex.join(arguments)}")
    sys.exit(Program(run, url, arguments, signals).wait())


def _block_signals() -> set[signal.Signals]:
    """Block the signals that are passed on, in every thread that starts from now on; returns them.

    Signals that this process ignores, under `nohup` for example, stay ignored and are not among
    them.
    """
    signals = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, (*signals, signal.SIGWINCH))
    return signals


def name_of(arguments: tuple[str, ...]) -> str:
    """The program that a command line runs: `train.py` in `python -u train.py --lr 1`."""
    first, *rest = arguments
    name = Path(first).name
    if not name.startswith(("python", "bash", "sh", "node", "ruby", "perl", "Rscript", "julia")):
        return name
    if "-m" in rest[:-1]:
        return rest[rest.index("-m") + 1]
    # the first argument that looks like a file: options have arguments too (`-W error`)
    scripts = (word for word in rest if not word.startswith("-") and Path(word).suffix)
    return Path(next(scripts, name)).name if "-c" not in rest else name


class Program:
    """The running program: its output, its signals, and how its run ends."""

    def __init__(
        self, run: Run, url: str, arguments: tuple[str, ...], signals: set[signal.Signals]
    ) -> None:
        self._run = run
        self._signals = signals
        self._channels = Channels()
        self._signalled: int | None = None
        """The last signal that the program received and that would end it."""
        self._asked_at: float | None = None
        self._sent: list[int] = []
        environ = {"PYTHONUNBUFFERED": "1", **os.environ}
        environ |= {"ATHANOR_RUN_ID": run.id, "ATHANOR_URL": url}
        try:
            self._process = self._start(arguments, environ)
        except OSError as error:
            run.fail(f"{arguments[0]} can't be run: {error.strerror}")
            raise click.ClickException(f"{arguments[0]} can't be run: {error.strerror}") from None
        out, err = self._channels.out, self._channels.err
        self._channels.close_theirs()
        self._tees = [Tee(run, out.ours, sys.stdout.fileno())]
        if err is not out:
            self._tees.append(Tee(run, err.ours, sys.stderr.fileno(), "stderr"))
        threading.Thread(target=self._forward, name="signals", daemon=True).start()

    def _start(self, arguments: tuple[str, ...], environ: dict[str, str]) -> subprocess.Popen[bytes]:
        """A process inherits the signals that its parent blocks, so none is blocked meanwhile."""
        for number in self._signals:
            signal.signal(number, self._on_early_signal)
        mask = signal.pthread_sigmask(signal.SIG_UNBLOCK, (*self._signals, signal.SIGWINCH))
        try:
            # running the given command is the purpose of this module
            return subprocess.Popen(  # noqa: S603
                arguments,
                env=environ,
                stdout=self._channels.out.theirs,
                stderr=self._channels.err.theirs,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wait(self) -> int:
        """Wait for the program, and end its run; returns the exit code as a shell reports it."""
        for tee in self._tees:
            tee.start()
        while True:
            try:
                code = self._process.wait(POLL_INTERVAL)
                break
            except subprocess.TimeoutExpired:
                self._interrupt_if_cancelled()
        deadline = time.monotonic() + DRAIN_TIMEOUT
        for tee in self._tees:
            tee.join(max(0.0, deadline - time.monotonic()))
            tee.close()
        self._end(code)
        return code if code >= 0 else 128 - code

    def _interrupt_if_cancelled(self) -> None:
        """Send the next signal that is due, if the run was asked to end."""
        if not self._run.cancelled:
            return
        now = time.monotonic()
        self._asked_at = self._asked_at or now
        steps = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        due = steps[: int((now - self._asked_at) / GRACE) + 1]
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
        """For the moment before `_forward` runs."""
        self._signalled = number

    def _forward(self) -> None:
        if self._signalled is not None:
            self._send(self._signalled)
        while True:
            received = signal.sigwaitinfo((*self._signals, signal.SIGWINCH))
            if received.si_signo == signal.SIGWINCH:
                self._channels.resize()
            elif received.si_signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                self._signalled = received.si_signo
            # the signals of a terminal's keys reach its whole foreground group, so the program too;
            # a process's signal (code 0 or less) reached us alone; SIGWINCH is repeated, because
            # the program's own terminal has its new size only now
            if received.si_code <= 0 or received.si_signo == signal.SIGWINCH:
                self._send(received.si_signo)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
