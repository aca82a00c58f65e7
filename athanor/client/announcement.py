"""The line with which a run begins: its name, and where to watch it."""

from __future__ import annotations

import contextlib
import html

from .notebook import shell
from .notices import write_notice
from .run import Run
from .settings import ClientSettings


def announce(run: Run, settings: ClientSettings) -> None:
    """Print the line to stderr, or in a notebook show it with a link. Never raises."""
    if settings.quiet or settings.mode == "disabled":
        return
    if settings.mode == "offline":
        write_notice(f"run {run.name} is kept in {settings.spool}; `athanor sync` delivers it")
        return
    with contextlib.suppress(Exception):
        if _show_link(run):
            return
    write_notice(f"run {run.name}: {run.url}")


def _show_link(run: Run) -> bool:
    """Show a link below the cell; False if this is no notebook."""
    notebook = shell()
    # IPython in a terminal has no kernel
    if notebook is None or not hasattr(notebook, "kernel"):
        return False
    from IPython.display import HTML, display

    address = html.escape(run.url, quote=True)
    name = html.escape(str(run.name))
    display(HTML(f'athanor: run <a href="{address}" target="_blank">{name}</a>'))  # type: ignore[no-untyped-call]
    return True
