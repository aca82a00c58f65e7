"""Athanor broadcasts the progress of experiments as it happens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .exceptions import (
    AthanorError,
    ConfigurationError,
    Conflict,
    DatabaseInUse,
    DatabaseLost,
    DatabaseUnavailable,
    Fault,
    InvalidInput,
    InvalidQuery,
    NotFound,
    NotRunning,
    NotStarted,
    RingFull,
    TooLarge,
    TooManySearches,
    UnsupportedType,
)
from .version import __version__

if TYPE_CHECKING:
    from .client.current import finish, log, progress, result
    from .client.experiment import experiment
    from .client.handler import LoggingHandler
    from .client.init import init
    from .client.run import Cancelled, Run
    from .client.subscriber import Subscriber, subscribe
    from .config import Settings
    from .engine.athanor import Athanor
    from .live.subscription import Subscription
    from .web.application import Application, create_app
    from .web.embedding import (
        lifespan,
        subscribe_to_instance,
        subscribe_to_instances,
        subscribe_to_run,
        wrap,
    )
    from .web.server import serve

    app: Application

# imported on first use: a producer needs neither Starlette nor a database
_LAZY = {
    "Application": "web.application",
    "Athanor": "engine.athanor",
    "Cancelled": "client.run",
    "LoggingHandler": "client.handler",
    "Run": "client.run",
    "Settings": "config",
    "Subscriber": "client.subscriber",
    "Subscription": "live.subscription",
    "create_app": "web.application",
    "experiment": "client.experiment",
    "finish": "client.current",
    "init": "client.init",
    "lifespan": "web.embedding",
    "log": "client.current",
    "progress": "client.current",
    "result": "client.current",
    "serve": "web.server",
    "subscribe": "client.subscriber",
    "subscribe_to_instance": "web.embedding",
    "subscribe_to_instances": "web.embedding",
    "subscribe_to_run": "web.embedding",
    "wrap": "web.embedding",
}


class _DefaultApplication:
    """`athanor.app`: it makes the `Application` when it is first used.

    It is in the module's dictionary, because some servers look for an application there only.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            application = self._made()
        except ConfigurationError as error:
            if scope["type"] != "lifespan":
                raise
            await send({"type": "lifespan.startup.failed", "message": f"athanor: {error}"})
            return
        await application(scope, receive, send)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            # servers and inspect ask for these to learn what it is
            raise AttributeError(name)
        return getattr(self._made(), name)

    @staticmethod
    def _made() -> Any:
        return import_module(".web.embedding", __name__).default_app()


if not TYPE_CHECKING:
    app = _DefaultApplication()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Application",
    "Athanor",
    "AthanorError",
    "Cancelled",
    "ConfigurationError",
    "Conflict",
    "DatabaseInUse",
    "DatabaseLost",
    "DatabaseUnavailable",
    "Fault",
    "InvalidInput",
    "InvalidQuery",
    "LoggingHandler",
    "NotFound",
    "NotRunning",
    "NotStarted",
    "RingFull",
    "Run",
    "Settings",
    "Subscriber",
    "Subscription",
    "TooLarge",
    "TooManySearches",
    "UnsupportedType",
    "__version__",
    "app",
    "create_app",
    "experiment",
    "finish",
    "init",
    "lifespan",
    "log",
    "progress",
    "result",
    "serve",
    "subscribe",
    "subscribe_to_instance",
    "subscribe_to_instances",
    "subscribe_to_run",
    "wrap",
]
