"""A login before the application: what the page expects of a service that wants a token."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from http.cookies import SimpleCookie
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from athanor import serve
from athanor.engine.athanor import Athanor
from athanor.web.application import Application

from .service import Service

OPEN = ("/", "/healthz", "/readyz")
MOST_WRONG = 5


class LoginService(Service):
    """A service with the settings `token` and `read_token`."""

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.support.login"],
                cwd=self.folder,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
            )


class Guarded(Application):
    """The application; it lets nobody through without a token or the cookie of a login."""

    def __init__(self, tokens: dict[str, bool]) -> None:
        super().__init__(Athanor())
        # by the token: whether it may write
        self.tokens = tokens
        self.cookies = {hashlib.sha256(token.encode()).hexdigest(): token for token in tokens}
        self.wrong = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        response = await self._refuse(Request(scope, receive))
        await (response or super().__call__)(scope, receive, send)

    async def _refuse(self, request: Request) -> Response | None:
        path = request.url.path
        if path == "/login" and request.method != "GET":
            return await self._log_in(request) if request.method == "POST" else self._log_out()
        token = self._token(request)
        if path in OPEN or path.startswith("/static/"):
            return None
        if token is None:
            return problem(401, "a token is needed")
        may_write = self.tokens[token]
        if path == "/login":
            name = "writer" if may_write else "reader"
            return JSONResponse({"name": name, "may_write": may_write, "login_required": True})
        if request.method not in ("GET", "HEAD") and not may_write:
            return problem(403, "this token may only read")
        return None

    async def _log_in(self, request: Request) -> Response:
        if self.wrong >= MOST_WRONG:
            return problem(429, "too many wrong tokens", {"retry-after": "7"})
        token = msgspec.json.decode(await request.body())["token"]
        if token not in self.tokens:
            self.wrong += 1
            return problem(401, "this is no token of this service")
        response = Response(status_code=204)
        cookie = next(cookie for cookie, known in self.cookies.items() if known == token)
        response.set_cookie("login", cookie, httponly=True, samesite="lax")
        return response

    def _log_out(self) -> Response:
        response = Response(status_code=204)
        response.delete_cookie("login", httponly=True, samesite="lax")
        return response

    def _token(self, request: Request) -> str | None:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer in self.tokens:
            return bearer
        morsel = SimpleCookie(request.headers.get("cookie", "")).get("login")
        return None if morsel is None else self.cookies.get(morsel.value)


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    body: dict[str, Any] = {"status": status, "detail": detail}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def main() -> None:
    serve(Guarded({os.environ.pop("ATHANOR_TOKEN"): True, os.environ.pop("ATHANOR_READ_TOKEN"): False}))


if __name__ == "__main__":
    main()
