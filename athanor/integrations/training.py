"""A training as a run: what the frameworks' callbacks have in common."""

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

SECRETS = ("token", "key", "password", "secret")
"""Endings of names whose values are not reported."""

AGREE_EVERY = 10
"""Steps after which several processes agree on whether to stop: one of them alone would leave the others
waiting for it, and to ask each time would cost."""

_notices = Notices()


def never_raises(hook: Callable[P, None]) -> Callable[P, None]:
    """What goes wrong in the hook is said on stderr, once, and the training goes on."""

    @functools.wraps(hook)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            hook(*args, **kwargs)
        except Exception as error:
            _notices.say(hook.__qualname__, f"{hook.__name__} of the callback failed: {error!r}")

    return call


class Training:
    """Reports to a run that is given, or to one of its own that begins and ends with the training.

    A training that ends by an exception of which its framework does not tell leaves its run open. The
    next training with this callback, or the end of the process, then fails it.
    """

    def __init__(self, run: Run | str, name: str | None, config: Mapping[str, Any] | None) -> None:
        self._given = run
        self._name = name
        self._config = config
        self._pid = 0
        self.run: Run | None = run if isinstance(run, Run) else None

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked it to end."""
        return self.run is not None and self.run.cancelled

    def begin(self, config: Mapping[str, Any]) -> None:
        """`config` is what the framework knows of it; what the caller gave comes before that."""
        if isinstance(self._given, str):
            self.fail("the training began anew, before it had ended")
            self.run = init(
                self._given, name=self._name, config={**_open(config), **(self._config or {})}
            )
            self._pid = os.getpid()
            atexit.register(self._leave)
        if self.run is not None:
            self.run.info("training begins")

    def results(self, values: Mapping[str, Any], step: int | None) -> None:
        """Each of `values` is a result at `step`; those that are numbers as such."""
        if self.run is not None and values:
            self.run.log({key: plain(value) for key, value in values.items()}, step=step)

    def progress(self, current: float, total: float | None, message: str | None = None) -> None:
        """A `total` that the framework does not know, or that was passed, is none."""
        if self.run is not None:
            known = total is not None and max(current, 1) <= total < float("inf")
            self.run.progress(current, total if known else None, message)

    def end(self) -> None:
        """It has come to its end, or to that which somebody asked for."""
        if self.run is not None:
            self.run.info("training ends, as it was asked to" if self.cancelled else "training ends")
            self._close(lambda run: run.cancel() if run.cancelled else run.finish())

    def fail(self, error: BaseException | str) -> None:
        """It has not come to its end."""
        if self.run is not None:
            if isinstance(error, KeyboardInterrupt | Cancelled):
                self.run.info("training is interrupted")
                self._close(lambda run: run.cancel())
            else:
                self.run.error(f"training fails: {error if isinstance(error, str) else repr(error)}")
                self._close(lambda run: run.fail(error))

    def _close(self, how: Callable[[Run], None]) -> None:
        """End the run, if it is the training's own."""
        if self.run is not None and isinstance(self._given, str):
            atexit.unregister(self._leave)
            run, self.run = self.run, None
            how(run)

    def _leave(self) -> None:
        """The process ends, before the client's own `atexit`, and the training has not ended."""
        if os.getpid() != self._pid:
            return
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and not hasattr(
            sys, "ps1"
        ):  # at a prompt, errors come and go
            self.fail(error)
        elif self.cancelled:
            self.end()
        else:
            self.fail("the training did not come to its end")


def _open(config: Mapping[Any, Any]) -> dict[str, Any]:
    """Without what is secret."""
    return {
        str(name): _open(value) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if not str(name).lower().endswith(SECRETS)
    }
