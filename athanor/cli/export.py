"""`athanor export RUN`: all that a run has, in a file."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from .service import RunState, Service, Trouble, next_query, orderly, url_option

PAGE = "10000"
MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
Reached = Callable[[int], None]
"""Told the `seq` up to which all is written."""


@click.command("export")
@click.argument("run", metavar="RUN|latest")
@click.option(
    "--format", "form", type=click.Choice(["csv", "ndjson", "json"]), default="ndjson", show_default=True
)
@click.option("--what", type=click.Choice(["logs", "results"]), default="logs", show_default=True)
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file; it appears when it is complete. stdout without it.",
)
@url_option
@orderly
def command(run: str, form: str, what: str, output: Path | None, url: str) -> None:
    """Write all log lines, or all results, of a run.

    \b
    athanor export latest > log.ndjson
    athanor export latest --what results --format csv -o loss.csv
    athanor export 019aab --format json | jq '.run.metadata'

    `json` is one object: the run, and its lines. Of a run that goes on, it is what there is by now.
    """
    with Service(url) as service:
        state = service.resolve(run)
        total = state.log_count if what == "logs" else state.result_count
        if not state.is_final:
            click.echo(
                f"athanor: run {state.id} is {state.status}: this is what there is by now", err=True
            )
        with _opened(output) as file, _bar(total, output) as reached:
            export = Export(service, state, what, total, reached)
            export.json(file) if form == "json" else export.pages(file, MEDIA[form])


class Export:
    """The first `total` lines of a run, page by page."""

    def __init__(self, service: Service, run: RunState, what: str, total: int, reached: Reached) -> None:
        self._service = service
        self._run = run
        self._what = what
        self._total = total
        self._reached = reached

    def pages(self, file: BinaryIO, media: str) -> None:
        """As the service has them; of CSV, with one header."""
        for number, page in enumerate(self._pages(media)):
            rest = page.partition(b"\r\n")[2] if number and media == "text/csv" else page
            file.write(rest)

    def json(self, file: BinaryIO) -> None:
        run = self._service.answer("GET", f"/runs/{self._run.id}").content.strip()
        file.write(b'{"run":%b,"%b":[' % (run, self._what.encode()))
        separator = b"\n"
        for page in self._pages("application/x-ndjson"):
            for line in page.splitlines():
                file.write(separator + line)
                separator = b",\n"
        file.write(b"\n]}\n")

    def _pages(self, media: str) -> Iterator[bytes]:
        # what is written while this reads is left out, so that it ends
        path = f"/runs/{self._run.id}/{self._what}"
        query: dict[str, str] | None = {"limit": PAGE, "before": str(self._total + 1), "after": "0"}
        while query is not None:
            answer = self._service.answer("GET", path, query, media)
            yield answer.content
            query = next_query(answer.links.get("next", {}).get("url"))
            self._reached(self._total if query is None else int(query["after"]))


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file that takes its name when all of it is there."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        number, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.absolute().parent)
    except OSError as error:
        raise Trouble(f"{path} can't be written: {error.strerror}") from None
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Trouble(f"{path} can't be written: {error.strerror}") from None
        raise


def _umask() -> int:
    """What the shell wants a new file to be closed to; there is no other way to ask."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _bar(total: int, output: Path | None) -> Iterator[Reached]:
    """On stderr, where it is a terminal that does not get the lines too."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield lambda seq: None
        return
    with click.progressbar(length=total, label="exporting", file=sys.stderr) as bar:
        yield lambda seq: bar.update(seq - bar.pos)
