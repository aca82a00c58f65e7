"""Athanor inside another application, in one line.

Starlette and FastAPI, whose mounted applications get no lifespan:

    app = FastAPI(lifespan=athanor.lifespan)
    app.mount("/athanor", athanor.app)

Any other ASGI application (Litestar, Quart, Django):

    app = athanor.wrap(app, "/athanor")
"""

from __future__ import annotations

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..exceptions import AthanorError
from ..live.subscription import Subscription
from .application import Application, create_app


@cache
def default_app() -> Application:
    """The process's own application, with the settings of its environment."""
    return create_app()


def lifespan(app: Any) -> AbstractAsyncContextManager[None]:
    """The lifespan to give to the host that `athanor.app` is mounted in."""
    return default_app().running()


def subscribe_to_run(id: str, **options: Any) -> Subscription:
    """`Athanor.subscribe_to_run` of the engine behind `athanor.app`."""
    return default_app().engine.subscribe_to_run(id, **options)


def subscribe_to_instance(id: str, **options: Any) -> Subscription:
    """`Athanor.subscribe_to_instance` of the engine behind `athanor.app`."""
    return default_app().engine.subscribe_to_instance(id, **options)


def subscribe_to_instances(**options: Any) -> Subscription:
    """`Athanor.subscribe_to_instances` of the engine behind `athanor.app`."""
    return default_app().engine.subscribe_to_instances(**options)


def wrap(app: ASGIApp, path: str, athanor: Application | None = None) -> ASGIApp:
    """`app`, with Athanor under `path`, started and ended with it; `app` may know no lifespan."""
    prefix = "/" + path.strip("/")
    if prefix == "/":
        raise ValueError("path has to name a place below /, as in wrap(app, '/athanor')")
    return Wrapped(app, prefix, athanor or default_app())


class Wrapped:
    """Two ASGI applications in one: `prefix` and what is below goes to Athanor."""

    def __init__(self, app: ASGIApp, prefix: str, athanor: Application) -> None:
        self.app = app
        self.prefix = prefix
        self.athanor = athanor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        root = scope.get("root_path", "")
        path = scope["path"].removeprefix(root)
        if path == self.prefix and scope["type"] == "http":
            await RedirectResponse(f"{root}{self.prefix}/")(scope, receive, send)
        elif path.startswith(f"{self.prefix}/"):
            inner = {**scope, "root_path": root + self.prefix}
            inner["path"] = root + path
            await self.athanor(inner, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            async with self.athanor.running():
                host = HostLifespan(self.app, scope)
                answer = await host.say({"type": "lifespan.startup"})
                await send(answer)
                if answer["type"] == "lifespan.startup.failed":
                    return
                await receive()
                answer = await host.say({"type": "lifespan.shutdown"})
        except AthanorError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
        else:
            await send(answer)


class HostLifespan:
    """The wrapped application's own lifespan; one that has none answers by raising, or by ending."""

    def __init__(self, app: ASGIApp, scope: Scope) -> None:
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run(app, scope))

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        with contextlib.suppress(Exception):
            await app(scope, self._heard.get, self._said.put)

    async def say(self, message: Message) -> Message:
        """Its answer to `message`; completion, if it has none to give."""
        self._heard.put_nowait(message)
        answer = asyncio.ensure_future(self._said.get())
        await asyncio.wait((answer, self._task), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        if not self._said.empty():
            answer.cancel()
            return self._said.get_nowait()
        answer.cancel()
        return {"type": f"{message['type']}.complete"}
