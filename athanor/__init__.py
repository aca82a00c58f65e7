"""Athanor broadcasts the progress of experiments as it happens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import Settings
from .exceptions import (
    AthanorError,
    ConfigurationError,
    Conflict,
    DatabaseInUse,
    DatabaseUnavailable,
    Fault,
    InvalidInput,
    InvalidQuery,
    NotFound,
    NotRunning,
    NotStarted,
    RingFull,
    TooLarge,
    UnsupportedType,
)
from .version import __version__

if TYPE_CHECKING:
    from .application import Application, create_app
    from .client.experiment import experiment
    from .client.handler import LoggingHandler
    from .client.init import init
    from .client.run import Cancelled, Run
    from .client.subscriber import Subscriber, subscribe
    from .embedding import (
        lifespan,
        subscribe_to_instance,
        subscribe_to_instances,
        subscribe_to_run,
        wrap,
    )
    from .engine import Athanor
    from .server import serve
    from .subscription import Subscription

    app: Application

# imported when they are asked for: a producer needs neither Starlette nor a database
_LAZY = {
    "Application": "application",
    "Athanor": "engine",
    "Cancelled": "client.run",
    "LoggingHandler": "client.handler",
    "Run": "client.run",
    "Subscriber": "client.subscriber",
    "Subscription": "subscription",
    "create_app": "application",
    "experiment": "client.experiment",
    "init": "client.init",
    "lifespan": "embedding",
    "serve": "server",
    "subscribe": "client.subscriber",
    "subscribe_to_instance": "embedding",
    "subscribe_to_instances": "embedding",
    "subscribe_to_run": "embedding",
    "wrap": "embedding",
}


def __getattr__(name: str) -> Any:
    if name == "app":
        return import_module(".embedding", __name__).default_app()
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
    "UnsupportedType",
    "__version__",
    "app",
    "create_app",
    "experiment",
    "init",
    "lifespan",
    "serve",
    "subscribe",
    "subscribe_to_instance",
    "subscribe_to_instances",
    "subscribe_to_run",
    "wrap",
]
