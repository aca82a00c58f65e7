"""`athanor export RUN`: write all log lines or results of a run to a file."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import click

from ..protocol.records import RunState
from ..protocol.safe_text import visible
from .service import Service, Trouble, next_query, orderly, url_option
from .terminal import echo, json_line

PAGE = "10000"
"""Lines per request."""
MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
Write = Callable[[bytes], object]
OnPage = Callable[[int], None]
"""Called after each page with the `seq` up to which everything is written."""


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
    help="The file to write; it appears when it is complete. Default: stdout.",
)
@click.option("--exact", is_flag=True, help="CSV with every cell as it was reported.")
@url_option
@orderly
def command(run: str, form: str, what: str, output: Path | None, exact: bool, url: str) -> None:
    """Write all log lines, or all results, of a run.

    \b
    athanor export latest > log.ndjson
    athanor export latest --what results --format csv -o loss.csv
    athanor export 019aab --format json | jq '.run.metadata'

    `json` is one object with the run and its lines. The export of a running run ends with the line
    that was the last one when the command began.

    In CSV, a cell that a spreadsheet would run as a formula begins with an apostrophe, and control
    characters are visible; --exact leaves all as it was reported. A terminal never receives control
    characters.
    """
    with Service(url) as service:
        state = service.resolve(run)
        total = state.log_count if what == "logs" else state.result_count
        if not state.is_final:
            echo(f"athanor: run {state.id} is {state.status}: this exports what it has so far", err=True)
        with _opened(output) as file, _bar(total, output) as on_page:
            write = _shown(file, form) if output is None and sys.stdout.isatty() else file.write
            export = Export(service, state, what, total, on_page)
            export.json(write) if form == "json" else export.pages(write, MEDIA[form], exact)


class Export:
    """The first `total` log lines or results of a run, read page by page."""

    def __init__(self, service: Service, run: RunState, what: str, total: int, on_page: OnPage) -> None:
        self._service = service
        self._run = run
        self._what = what
        self._total = total
        self._on_page = on_page

    def pages(self, write: Write, media: str, exact: bool) -> None:
        """Write the pages as the service sends them; CSV gets one header, and may be exact."""
        options = {"exact": "1"} if exact else {}
        for number, page in enumerate(self._pages(media, options)):
            write(page.partition(b"\r\n")[2] if number and media == "text/csv" else page)

    def json(self, write: Write) -> None:
        run = self._service.answer("GET", f"/runs/{self._run.id}").content.strip()
        write(b'{"run":%b,"%b":[' % (run, self._what.encode()))
        separator = b"\n"
        for page in self._pages("application/x-ndjson"):
            for line in page.splitlines():
                write(separator + line)
                separator = b",\n"
        write(b"\n]}\n")

    def _pages(self, media: str, options: dict[str, str] | None = None) -> Iterator[bytes]:
        # lines that arrive during the export are left out, so that it ends
        path = f"/runs/{self._run.id}/{self._what}"
        query: dict[str, str] | None = {
            **{"limit": PAGE, "before": str(self._total + 1), "after": "0"},
            **(options or {}),
        }
        while query is not None:
            answer = self._service.answer("GET", path, query, media)
            yield answer.content
            query = next_query(answer.links.get("next", {}).get("url"))
            self._on_page(self._total if query is None else int(query["after"]))


def _shown(file: BinaryIO, form: str) -> Write:
    """A function that writes to a terminal: controls are visible, and JSON keeps its value."""

    def write(data: bytes) -> None:
        if form == "csv":
            text = visible(data.decode("utf-8", "replace"))
        else:
            text = "\n".join(map(json_line, data.split(b"\n")))
        file.write(text.encode("utf-8", "backslashreplace"))

    return write


@contextlib.contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a temporary file that is renamed to `path` when it is complete."""
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
    """This process's umask, which can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _bar(total: int, output: Path | None) -> Iterator[OnPage]:
    """A progress bar on stderr, if that is a terminal and the lines do not go there too."""
    if not sys.stderr.isatty() or (output is None and sys.stdout.isatty()):
        yield lambda seq: None
        return
    with click.progressbar(length=total, label="exporting", file=sys.stderr) as bar:
        yield lambda seq: bar.update(seq - bar.pos)
