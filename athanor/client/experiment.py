"""A function as an experiment: each call of it is a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .init import init

F = TypeVar("F", bound=Callable[..., Any])


def experiment(instance: str, **options: Any) -> Callable[[F], F]:
    """Each call is a run of that instance, with the call's arguments as its configuration.

    @athanor.experiment("digits")
    def train(run, lr=3e-4): ...

    train(lr=1e-3)

    The function may be a coroutine function. If it has a parameter `run`, it is given the run.
    `options` are those of `init`.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        wants_run = "run" in signature.parameters

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            bound = signature.bind_partial(*args, **kwargs)
            bound.apply_defaults()
            config = {name: value for name, value in bound.arguments.items() if name != "run"}
            run = init(instance, **{"config": config, **options})
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
