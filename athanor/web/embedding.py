"""Athanor inside another ASGI application.

Starlette and FastAPI, which run no lifespan for a mounted application:

    app = FastAPI(lifespan=athanor.lifespan)
    app.mount("/athanor", athanor.app)

Any other ASGI application (Litestar, Quart, Django):

    app = athanor.wrap(app, "/athanor", authorize=authorize)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from functools import cache
from types import EllipsisType
from typing import Any

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..exceptions import AthanorError, ConfigurationError
from ..live.subscription import Subscription
from .application import Application, create_app
from .permission import Authorize
from .root_path import split


@cache
def default_app() -> Application:
    """The one application of this process, with settings from the environment.

    Raises `ConfigurationError` if a variable is wrong.
    """
    return create_app()


def lifespan(app: Any) -> AbstractAsyncContextManager[None]:
    """The lifespan for a host application that mounts `athanor.app`."""
    return default_app().running()


def subscribe_to_run(
    id: str, *, after: str | None = None, tail: int = 0, types: Iterable[str] | None = None
) -> Subscription:
    """`Athanor.subscribe_to_run` of the engine of `athanor.app`. Raises as it does."""
    return default_app().engine.subscribe_to_run(id, after=after, tail=tail, types=types)


def subscribe_to_instance(
    id: str, *, after: str | None = None, tail: int = 0, types: Iterable[str] | None = None
) -> Subscription:
    """`Athanor.subscribe_to_instance` of the engine of `athanor.app`. Raises as it does."""
    return default_app().engine.subscribe_to_instance(id, after=after, tail=tail, types=types)


def subscribe_to_instances(
    *, after: str | None = None, tail: int = 0, types: Iterable[str] | None = None
) -> Subscription:
    """`Athanor.subscribe_to_instances` of the engine of `athanor.app`. Raises as it does."""
    return default_app().engine.subscribe_to_instances(after=after, tail=tail, types=types)


def wrap(
    app: ASGIApp,
    path: str,
    athanor: Application | None = None,
    *,
    authorize: Authorize | EllipsisType | None = ...,
) -> ASGIApp:
    """An application that serves Athanor under `path`, and `app` everywhere else.

    Athanor starts and stops with `app`, which may have no lifespan. It stands outside of the login
    of `app`. So `await authorize(scope, action, resource)` decides whether a request may `"read"` or
    `"write"` a resource: a topic, as `experiments:run:first`, or the path of what has none. Lists
    and the topics of all runs and instances show what may be read. With `authorize=None` the tokens
    in Athanor's settings decide, and without tokens everybody may do everything.

    Raises `ValueError` if `path` is `/`, and `ConfigurationError` without `authorize`.
    """
    prefix = "/" + path.strip("/")
    if prefix == "/":
        raise ValueError("path must be below /, as in wrap(app, '/athanor')")
    if isinstance(authorize, EllipsisType):
        raise ConfigurationError(
            "athanor.wrap() serves Athanor outside of this application's login: pass "
            "authorize=, an async function (scope, action, resource) -> bool, or authorize=None to "
            "let in everybody whom Athanor's own tokens let in"
        )
    return Wrapped(app, prefix, athanor or default_app(), authorize)


class Wrapped:
    """Two ASGI applications in one: Athanor gets `prefix` and all paths below it."""

    def __init__(
        self, app: ASGIApp, prefix: str, athanor: Application, authorize: Authorize | None
    ) -> None:
        self.app = app
        self.prefix = prefix
        self.athanor = athanor
        self.authorize = authorize

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        root, path = split(scope, (self.prefix.split("/")[1],))
        if path == self.prefix and scope["type"] == "http":
            await RedirectResponse(f"{root}{self.prefix}/")(scope, receive, send)
        elif path.startswith(f"{self.prefix}/"):
            inner = {**scope, "root_path": root + self.prefix, "path": root + path}
            inner["athanor.authorize"] = self.authorize
            await self.athanor(inner, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.athanor.running():
                host = HostLifespan(self.app, scope)
                reply = await host.send({"type": "lifespan.startup"})
                await send(reply)
                if reply["type"] == "lifespan.startup.failed":
                    return
                await receive()
                reply = await host.send({"type": "lifespan.shutdown"})
        except AthanorError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send(reply)


class HostLifespan:
    """The lifespan of the wrapped application.

    An application without one raises an error or returns instead of replying.
    """

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._replies: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        with contextlib.suppress(Exception):
            await app(scope, self._messages.get, self._replies.put)

    async def send(self, message: Message) -> Message:
        """Send `message`; the application's reply, or completion if there is none."""
        self._messages.put_nowait(message)
        reply = asyncio.ensure_future(self._replies.get())
        await asyncio.wait((reply, self._task), return_when=asyncio.FIRST_COMPLETED)
        if reply.done():
            return reply.result()
        reply.cancel()
        if not self._replies.empty():
            return self._replies.get_nowait()
        return {"type": f"{message['type']}.complete"}
