"""The login: a token for a cookie, which the page's requests and its `EventSource` send."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ..access.authenticator import Authenticator
from ..access.caller import Caller
from .gate import Gate, audit, cookie_name
from .permission import permission_of
from .refusal import unauthenticated, wrong_credential
from .requests import read_object
from .responses import json_response


class LoginInput(msgspec.Struct, kw_only=True):
    """A token, or a JWT."""

    token: str


class Login(msgspec.Struct, kw_only=True):
    """Who is logged in. `may_write`: the credential allows to change something.

    `login_required`: the service asks for a credential.
    """

    name: str
    may_write: bool
    login_required: bool


async def get_login(request: Request) -> Response:
    caller = permission_of(request).caller
    if caller is None:
        raise unauthenticated("nobody is logged in")
    return json_response(_login(request, caller))


async def post_login(request: Request) -> Response:
    given = await read_object(request, LoginInput)
    gate: Gate = request.app.gate
    authenticator: Authenticator = request.app.authenticator
    if authenticator.is_open:
        return Response(status_code=204)
    caller = authenticator.caller_of(given.token)
    if caller is None:
        await gate.slow_down(request.scope)
        raise wrong_credential()
    audit.info("login of %s", ascii(caller.name))
    response = Response(status_code=204)
    value, seconds = authenticator.cookie_of(caller, given.token)
    _set_cookie(request, response, value, seconds)
    return response


async def delete_login(request: Request) -> Response:
    response = Response(status_code=204)
    _set_cookie(request, response, "", 0)
    return response


def _login(request: Request, caller: Caller) -> Login:
    return Login(
        name=caller.name,
        may_write=bool(caller.grant.write),
        login_required=not request.app.authenticator.is_open,
    )


def _set_cookie(request: Request, response: Response, value: str, seconds: int) -> None:
    # the page's own address says whether it came over TLS: a proxy may have ended that
    is_secure = (
        request.headers.get("origin", "").startswith("https:") or request.scope["scheme"] == "https"
    )
    response.set_cookie(
        cookie_name(request.scope),
        value,
        max_age=seconds,
        path=request.scope.get("root_path", "") or "/",
        secure=is_secure,
        httponly=True,
        # a link from elsewhere opens the page; what writes is checked by its origin
        samesite="lax",
    )
