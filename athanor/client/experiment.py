"""A decorator that makes each call of a function a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict, TypeVar, Unpack

from .init import init
from .run import Run
from .settings import Mode

F = TypeVar("F", bound=Callable[..., Any])


class Options(TypedDict, total=False):
    """The keyword arguments of `init`."""

    name: str | None
    config: Any
    tags: Iterable[str] | None
    notes: str | None
    id: str | None
    metadata: Mapping[str, Any] | None
    system_metrics: bool
    url: str | None
    mode: Mode | None
    finish_timeout: float | None


def experiment(instance: str, **options: Unpack[Options]) -> Callable[[F], F]:
    """Make each call of the decorated function a run of that instance.

        @athanor.experiment("digits")
        def train(run, lr=3e-4): ...

        train(lr=1e-3)

    The function may be a coroutine function. If it has a parameter `run`, it gets the run.
    `options` are those of `init`; `config` is the call's arguments unless it is given. The
    decorated function raises what it raises itself, and what `init` raises.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        wants_run = "run" in signature.parameters

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
            bound = signature.bind_partial(*args, **kwargs)
            bound.apply_defaults()
            config = {key: value for key, value in bound.arguments.items() if key != "run"}
            merged: Options = {"config": config, **options}
            run = init(instance, **merged)
            if wants_run:
                kwargs["run"] = run
            return run

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def wrapped_async(*args: Any, **kwargs: Any) -> Any:
                async with begin(args, kwargs):
                    return await function(*args, **kwargs)

            return wrapped_async  # type: ignore[return-value]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with begin(args, kwargs):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    return decorate
