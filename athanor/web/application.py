"""The ASGI application: an engine and its HTTP interface."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from ..access.authenticator import Authenticator
from ..config import Settings
from ..engine.athanor import Athanor
from ..exceptions import AthanorError
from ..version import __version__
from .bodies import Bodies
from .connection import Connections
from .dispatcher import Dispatcher
from .gate import Gate
from .log_safety import make_safe
from .metrics import registry_of
from .open_streams import OpenStreams
from .openapi import describe
from .permission import Authorize
from .problems import on_athanor_error, on_disconnect, on_error, on_http_error
from .root_path import rooted
from .routes import routes
from .shutdown import on_shutdown_signal
from .streams import StreamEndpoint


class Application(Starlette):
    """Athanor as an ASGI application.

    Its lifespan starts its engine. Servers run no lifespan for a mounted application, so there the
    lifespan of the host has to start it.
    """

    def __init__(self, engine: Athanor, authorize: Authorize | None = None) -> None:
        """`authorize` decides instead of the tokens in the settings; see `athanor.wrap`.

        Raises `ConfigurationError` for a token or a key that can't be used.
        """
        make_safe("athanor")
        self.engine = engine
        self._streams = OpenStreams(engine.settings)
        self._failure: str | None = None
        self.connections = Connections(engine.settings, engine.limits, engine.refusals)
        super().__init__(
            routes=routes(StreamEndpoint(self._streams)),
            exception_handlers={
                AthanorError: on_athanor_error,
                HTTPException: on_http_error,
                ClientDisconnect: on_disconnect,
                Exception: on_error,
            },
            lifespan=lambda _: self.running(),
        )
        self.bodies = Bodies(engine.limits)
        self.authenticator = Authenticator(engine.settings)
        dispatcher = Dispatcher(self, self.routes, super().__call__)
        self.gate = Gate(dispatcher, engine, self.authenticator, authorize)
        self.metrics = registry_of(engine)
        self.openapi = describe(__version__)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the engine, and stop it at the end; a shutdown signal ends all streams before that.

        Raises what `Athanor.start` raises.
        """
        self._failure = None
        # its lock belongs to one event loop
        self.bodies = Bodies(self.engine.limits)
        try:
            await self.engine.start()
        except AthanorError as error:
            self._failure = str(error)
            raise
        try:
            with on_shutdown_signal(self._drain, self.engine.settings.shutdown_timeout):
                yield
        finally:
            await self.engine.stop()

    async def _drain(self) -> None:
        await self.engine.drain()
        # a client that has not read by then is unlikely to, and its stream would delay the shutdown
        await asyncio.sleep(self.engine.settings.shutdown_timeout / 2)
        for stream in list(self._streams.streams):
            stream.abandon()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        scope = rooted(scope)
        try:
            await self.gate(scope, receive, send)
        finally:
            # uvicorn's `send` and the scope have each other: only the garbage collector would free them
            scope.pop("athanor.send", None)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        # the server logs one sentence, not a traceback, if the start fails for a known reason
        async def send_reason(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed" and self._failure is not None:
                message = {**message, "message": self._failure}
            await send(message)

        with contextlib.suppress(AthanorError):
            await super().__call__(scope, receive, send_reason)


def create_app(settings: Settings | None = None, authorize: Authorize | None = None) -> Application:
    """An application with its own engine. Settings that are not given come from the environment.

    `authorize(scope, action, resource)` decides in place of the settings' tokens, as in `wrap`.
    Raises `ConfigurationError` if a variable is wrong.
    """
    return Application(Athanor(settings), authorize)
