"""`athanor sync`: deliver what scripts kept on disk while the service was away."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ..client.delivery.sync import Outcome, Sync
from ..client.settings import ClientSettings
from ..exceptions import ConfigurationError
from .terminal import echo


@click.command("sync")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--url", help="The service; default: ATHANOR_URL, or the one that each run reported to.")
def command(folder: Path | None, url: str | None) -> None:
    """Deliver what scripts kept on disk because the service was away.

    \b
    athanor sync                  the scripts that ran in this folder
    athanor sync ~/experiments    the scripts that ran in that folder

    Lines are delivered in order, each once, and then the run's end; a file is removed when all of
    it is delivered. A run whose process was killed is ended as failed. Files of scripts that still
    run are skipped: those scripts deliver by themselves. The exit code is 1 if anything remains.
    The command can be repeated at any time.
    """
    try:
        settings = ClientSettings.from_env(url=url)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from None
    given = settings.url if url or os.environ.get("ATHANOR_URL") else None
    try:
        with Sync(_spool_of(folder, settings), given) as sync:
            outcome = _deliver(sync)
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None
    _print(outcome)
    sys.exit(1 if outcome.remaining else 0)


def _spool_of(folder: Path | None, settings: ClientSettings) -> Path:
    """The spool in the folder in which scripts ran, or the given folder itself if it has none."""
    if folder is None:
        return settings.spool
    inner = folder / ClientSettings().spool
    return inner if inner.is_dir() else folder


def _deliver(sync: Sync) -> Outcome:
    if not sync.size or not sys.stderr.isatty():
        return sync.deliver(lambda size: None)
    with click.progressbar(length=sync.size, label="delivering", file=sys.stderr) as bar:
        return sync.deliver(bar.update)


def _print(outcome: Outcome) -> None:
    runs = len(outcome.runs)
    if runs:
        echo(
            f"delivered {_count(outcome.lines, 'line')} of {_count(runs, 'run')}: "
            + ", ".join(sorted(outcome.runs)[:5])
            + (", …" if runs > 5 else "")
        )
    elif not outcome.remaining:
        echo("nothing to deliver")
    if outcome.in_use:
        echo(f"skipped {_count(len(outcome.in_use), 'file')} of running processes")
    for path, reason in outcome.remaining.items():
        echo(f"athanor: {path} is kept: {reason}", err=True)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
