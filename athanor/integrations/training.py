"""A training as a run: the part that the frameworks' callbacks share."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

from ..client.encode import plain
from ..client.init import init
from ..client.notices import Notices
from ..client.run import Cancelled, Run

P = ParamSpec("P")


AGREE_EVERY = 10
"""Steps between two votes of several processes on whether to stop. One process must not stop alone,
for the others would wait for it, and a vote at each step would be slow."""

_notices = Notices()


def never_raises(hook: Callable[P, None]) -> Callable[P, None]:
    """Make a hook write its errors to stderr, once, instead of raising them into the training."""

    @functools.wraps(hook)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(*args, **kwargs)
        except Exception as error:
            _notices.show(hook.__qualname__, f"{hook.__name__} of the callback failed: {error!r}")

    return call


class Training:
    """Reports to a given run, or to its own run, which begins and ends with the training.

    If the training ends by an exception and the framework does not report it, its run stays open.
    The next training with this callback, or the end of the process, then ends that run as failed.
    """

    def __init__(self, run: Run | str, name: str | None, config: Mapping[str, Any] | None) -> None:
        self._given = run
        self._name = name
        self._config = config
        self._pid = 0
        self.run: Run | None = run if isinstance(run, Run) else None

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to end."""
        return self.run is not None and self.run.cancelled

    def begin(self, config: Mapping[str, Any]) -> None:
        """The training begins. `config` is the framework's; the caller's takes precedence."""
        if isinstance(self._given, str):
            self.fail("another training began before this one ended")
            # `init` hides secrets
            self.run = init(self._given, name=self._name, config={**config, **(self._config or {})})
            self._pid = os.getpid()
            atexit.register(self._on_exit)
        if self.run is not None:
            self.run.info("training began")

    def results(self, values: Mapping[str, Any], step: int | None) -> None:
        """Store each of `values` as a result at `step`; numbers of any library become numbers."""
        if self.run is not None and values:
            self.run.log({key: plain(value) for key, value in values.items()}, step=step)

    def progress(self, current: float, total: float | None, message: str | None = None) -> None:
        """Show progress. `total` is left out where it is infinite or less than `current`."""
        if self.run is not None:
            known = total is not None and max(current, 1) <= total < float("inf")
            self.run.progress(current, total if known else None, message)

    def end(self) -> None:
        """The training has ended, by itself or because the run was asked to end."""
        if self.run is not None:
            self.run.info("training was stopped on request" if self.cancelled else "training ended")
            self._close(lambda run: run.cancel() if run.cancelled else run.finish())

    def fail(self, error: BaseException | str) -> None:
        """The training has failed, or was interrupted."""
        if self.run is not None:
            if isinstance(error, KeyboardInterrupt | Cancelled):
                self.run.info("training was interrupted")
                self._close(lambda run: run.cancel())
            else:
                self.run.error(f"training failed: {error if isinstance(error, str) else repr(error)}")
                self._close(lambda run: run.fail(error))

    def _close(self, end: Callable[[Run], None]) -> None:
        """Call `end` with the run, if it is the training's own."""
        if self.run is not None and isinstance(self._given, str):
            atexit.unregister(self._on_exit)
            run, self.run = self.run, None
            end(run)

    def _on_exit(self) -> None:
        """The process ends before the training. This runs before the client's own `atexit` hook."""
        if os.getpid() != self._pid:
            return
        error = getattr(sys, "last_value", None)
        # an interactive session goes on after an error
        if isinstance(error, BaseException) and not hasattr(sys, "ps1"):
            self.fail(error)
        elif self.cancelled:
            self.end()
        else:
            self.fail("the process ended before the training did")
