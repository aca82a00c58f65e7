"""A Litestar application with Athanor around it, and a lifespan of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, get

import athanor

started: list[str] = []


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    started.append("litestar")
    yield


@get("/own")
async def own() -> dict[str, str]:
    return {"host": started[0]}


app = athanor.wrap(Litestar([own], lifespan=[lifespan]), "/athanor", authorize=None)  # type: ignore[arg-type]
