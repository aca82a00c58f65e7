"""`… | athanor pipe NAME`: record another program's output as a run."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from ..client.init import init
from ..client.notices import Notices
from ..exceptions import AthanorError
from .tee import Tee

POLL_INTERVAL = 0.5
"""Seconds between two checks whether the run was asked to end."""


@click.command("pipe")
@click.argument("instance", metavar="NAME")
@click.option("--name", help="The run's name.")
@click.option("--quiet", "-q", is_flag=True, help="Don't copy the input to stdout.")
@click.option("--url", help="The service; default: ATHANOR_URL.")
def command(instance: str, name: str | None, quiet: bool, url: str | None) -> None:
    """Record stdin as a run of NAME, and copy it to stdout.

    \b
    make 2>&1 | athanor pipe build
    ssh host journalctl -f | athanor pipe host --quiet

    Lines are stored; bars become progress. The run is completed at the end of the input: a pipe
    does not transmit the exit code of the program before it, but `athanor run` does. Ctrl-C and
    `athanor cancel` close the pipe, and the run is cancelled.
    """
    try:
        run = init(instance, name=name, url=url)
    except AthanorError as error:
        raise click.UsageError(str(error)) from None
    interrupted = False

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        # the program before us received the signal too, and may still write
        interrupted = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_interrupt)
    with run:
        tee = Tee(run, sys.stdin.fileno(), None if quiet else sys.stdout.fileno(), Notices())
        tee.start()
        while tee.is_alive() and not run.cancelled:
            tee.join(POLL_INTERVAL)
        tee.close()
        if interrupted:
            run.cancel()
    sys.exit(130 if interrupted else 3 if run.cancelled else 0)
