"""`… | athanor pipe NAME`: whatever is written into it is a run."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from ..client.init import init
from ..exceptions import AthanorError
from .tee import Tee

LOOK = 0.5
"""Seconds between two looks whether the run was asked to end."""


@click.command("pipe")
@click.argument("instance", metavar="NAME")
@click.option("--name", help="What this run is called.")
@click.option("--quiet", "-q", is_flag=True, help="Don't pass on what is read.")
@click.option("--url", help="Where the service is; ATHANOR_URL.")
def command(instance: str, name: str | None, quiet: bool, url: str | None) -> None:
    """Show what is piped into it as a run of NAME, and pass it on.

    \b
    make 2>&1 | athanor pipe build
    ssh host journalctl -f | athanor pipe host --quiet

    The run is completed with the end of its input; how the program before it ended, a pipe does not
    tell: `athanor run` does. Bars become progress, lines are stored. Ctrl-C, and `athanor cancel`,
    close the pipe, and the run is cancelled.
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
        interrupted = True  # the program before us has heard it too, and may have a last word

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_interrupt)
    with run:
        tee = Tee(run, sys.stdin.fileno(), None if quiet else sys.stdout.fileno())
        tee.start()
        while tee.is_alive() and not run.cancelled:
            tee.join(LOOK)
        tee.close()
        if interrupted:
            run.cancel()
    sys.exit(130 if interrupted else 3 if run.cancelled else 0)
