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
from typing import Any

import click

from ..client.init import wrap
from ..client.notices import Notices
from ..client.run import Run
from ..client.secrets import hidden_arguments
from ..exceptions import AthanorError
from .configuration import read_items
from .descendants import with_descendants
from .program import may_call_init, name_of, origin_of
from .pseudo_terminals import Channels
from .tee import Tee
from .terminal import echo

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
POLL_INTERVAL = 0.25
"""Seconds between two checks of the program and of its run."""
GRACE = 10.0
"""Seconds between SIGINT, SIGTERM and SIGKILL for a program whose run was asked to end."""
HELD_TIMEOUT = 60.0
"""Seconds that a program has to call `init`, before the run gets the program's name."""
DRAIN_TIMEOUT = 1.0
"""Seconds to wait for the end of output that a child of the program may still hold open."""


@click.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--instance", "-i", help="The instance's name; default: the program's.")
@click.option("--name", "-n", help="The run's name; default: an invented one.")
@click.option(
    "--config",
    "-c",
    metavar="KEY=VALUE",
    multiple=True,
    callback=read_items,
    help="A setting of the run.",
)
@click.option("--system-metrics", is_flag=True, help="Store the use of CPU, memory, disk and GPUs.")
@click.option("--url", help="The service; default: ATHANOR_URL.")
@click.argument("arguments", metavar="-- COMMAND…", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    instance: str | None,
    name: str | None,
    config: dict[str, Any],
    system_metrics: bool,
    url: str | None,
    arguments: tuple[str, ...],
) -> None:
    """Run a program, and record its output as a run.

    \b
    athanor run -- python train.py --lr 3e-4
    athanor run --instance digits --config lr=3e-4 -- ./train.sh

    The log's first line is the command line; then come the lines of stdout and stderr. Bars become
    progress. The program's exit code decides how the run ends, and is the exit code here; the end
    of stderr says why it failed. Signals are passed on. `athanor cancel` interrupts the program as
    Ctrl-C does. A program that calls athanor.init reports to this run, and gives it its instance
    (unless --instance does), its name and its configuration. Without a service the program runs all
    the same: `athanor sync` delivers later. Values after words such as --token are not recorded.
    """
    program = shutil.which(arguments[0])
    if program is None:
        found = Path(arguments[0]).exists()
        echo(f"athanor: {arguments[0]}: {'not executable' if found else 'not found'}", err=True)
        sys.exit(126 if found else 127)
    signals = _block_signals()
    try:
        run = wrap(
            instance or name_of(arguments),
            name=name,
            config=config,
            metadata=origin_of(arguments),
            url=url,
            held=instance is None and may_call_init(program, arguments),
        )
    except AthanorError as error:
        raise click.UsageError(str(error)) from None
    run.info(f"$ {shlex.join(hidden_arguments(arguments))}")
    if system_metrics:
        run.record_system()
    sys.exit(Program(run, name is not None, arguments, signals).wait())


def _block_signals() -> set[signal.Signals]:
    """Block the signals that are passed on, in every thread that starts from now on; returns them.

    Signals that this process ignores, under `nohup` for example, stay ignored and are not among
    them.
    """
    signals = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
    signal.pthread_sigmask(signal.SIG_BLOCK, (*signals, signal.SIGWINCH))
    return signals


class Program:
    """The running program: its output, its signals, and how its run ends."""

    def __init__(
        self, run: Run, is_named: bool, arguments: tuple[str, ...], signals: set[signal.Signals]
    ) -> None:
        self._run = run
        self._signals = signals
        self._channels = Channels()
        self._signalled: int | None = None
        """The last signal that the program received and that would end it."""
        self._asked_at: float | None = None
        self._sent: list[int] = []
        self._held_until = time.monotonic() + HELD_TIMEOUT
        environ = {"PYTHONUNBUFFERED": "1", **os.environ}
        environ |= {"ATHANOR_RUN_ID": run.id, "ATHANOR_URL": run.service_url}
        environ["ATHANOR_WRAPPED"] = "name" if is_named else "1"
        try:
            self._process = self._start(arguments, environ)
        except OSError as error:
            run.fail(f"{arguments[0]} can't be run: {error.strerror}")
            raise click.ClickException(f"{arguments[0]} can't be run: {error.strerror}") from None
        out, err = self._channels.out, self._channels.err
        self._channels.close_theirs()
        notices = Notices()
        self._tees = [Tee(run, out.ours, sys.stdout.fileno(), notices)]
        if err is not out:
            self._tees.append(Tee(run, err.ours, sys.stderr.fileno(), notices, "stderr"))
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
                if time.monotonic() > self._held_until:
                    self._run.release()
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
        else:
            self._run.summary["exit_code"] = code if code > 0 else 128 - code
            self._run.fail(self._reason(code))

    def _reason(self, code: int) -> str:
        """Why the program failed: the end of stderr, or on a terminal of all output."""
        *_, errors = self._tees
        last_lines = errors.last_lines()
        if code > 0 and last_lines and (len(self._tees) > 1 or "Traceback (most" in last_lines):
            return last_lines
        reason = f"exit code {code}" if code > 0 else f"killed by {_name(-code)}"
        return f"{last_lines}\n{reason}".lstrip()

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
