"""IPython and Jupyter: whether the last cell failed, for a run that nobody ended."""

from __future__ import annotations

import sys
from typing import Any


class _Cells:
    """The outcome of the newest cell. IPython calls `after`."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._seen: BaseException | None = getattr(sys, "last_value", None)

    def after(self, result: Any = None) -> None:
        error = getattr(result, "error_in_exec", None) or getattr(result, "error_before_exec", None)
        shown = getattr(sys, "last_value", None)
        # `%run` shows an error and succeeds
        self.error = error or (shown if shown is not self._seen else None)
        self._seen = shown


_cells: _Cells | None = None


def watch_cells() -> None:
    """Follow the outcome of cells from now on, if this is IPython."""
    global _cells
    ipython = shell()
    if ipython is not None and _cells is None:
        _cells = _Cells()
        ipython.events.register("post_run_cell", _cells.after)


def shell() -> Any:
    """IPython's shell, if this process runs in one; else None."""
    ipython = sys.modules.get("IPython")
    return None if ipython is None else ipython.get_ipython()


def last_error() -> BaseException | None:
    """Why the script ended, or why the newest cell failed; None if neither failed.

    At Python's own prompt errors come and go, and say nothing about the run.
    """
    if _cells is not None:
        return _cells.error
    return None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
