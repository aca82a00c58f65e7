"""The gate: the one ASGI application around everything that Athanor serves.

It asks in this order: is the host ours, may this page write, who is it? What the caller may do with
a resource is asked where the resource is known (`permission`). It never uses `request.url`, which
the client's `Host` is a part of.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable
from functools import lru_cache

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..access.authenticator import Authenticator
from ..access.caller import Caller
from ..access.credentials import secret_of
from ..access.hosts import Host, HostRule, host_of, is_beyond_this_machine
from ..access.origins import OriginRule
from ..access.throttle import Throttle
from ..engine.athanor import Athanor
from ..live.refusals import BIND, HOST, ORIGIN, THROTTLED
from .fields import Fields, fields_in
from .permission import LOGIN, Authorize, Permission
from .problems import problem_of
from .refusal import Refusal, unauthenticated, wrong_credential
from .root_path import path_below_root

audit = logging.getLogger("athanor.audit")

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN = frozenset({"/", "/login", "/healthz", "/readyz"})
"""Paths without a credential, and all below /static/: the page, which shows the login."""

UNPROTECTED = (
    "without ATHANOR_TOKEN it serves programs on its own machine only. Set ATHANOR_TOKEN, or "
    "ATHANOR_INSECURE=1 if everything that reaches this address may read, write and delete"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Gate:
    """`app` gets a request with a `Permission` in its scope, as `athanor.permission`."""

    def __init__(
        self,
        app: ASGIApp,
        engine: Athanor,
        authenticator: Authenticator,
        authorize: Authorize | None = None,
    ) -> None:
        self._app = app
        self._settings = settings = engine.settings
        self._authenticator = authenticator
        self._authorize = authorize
        self._refusals = engine.refusals
        self._hosts = HostRule(settings.allowed_hosts, settings.host)
        self._origins = OriginRule(settings.allowed_origins)
        self._throttle = Throttle()
        self._inner: ASGIApp = self._admit
        if self._origins.allowed:
            self._inner = CORSMiddleware(
                self._admit, self._origins.allowed, allow_methods=["*"], allow_headers=["*"]
            )

    # plain functions that return the next coroutine: a coroutine of their own would cost each open
    # stream half a KiB
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with_headers(message.get("headers", ()))}
            await send(message)

        # a stream's frames need no header, so they skip all wrappers of `send`
        scope["athanor.send"] = send
        try:
            scope["athanor.host"] = self._host_of(scope)
        except Refusal as refusal:
            return self._refuse(refusal, scope, receive, send_with_headers)
        return self._inner(scope, receive, send_with_headers)

    def _admit(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        fields = fields_in(scope)
        try:
            self._check_origin(scope, fields, scope.pop("athanor.host"))
            self._check_bind(scope)
            authorize: Authorize | None = scope.get("athanor.authorize", self._authorize)
            caller = self._caller_of(scope, fields) if authorize is None else None
        except Refusal as refusal:
            return self._refuse(refusal, scope, receive, send)
        scope["athanor.permission"] = Permission(caller, authorize, scope)
        return self._app(scope, receive, send)

    def _host_of(self, scope: Scope) -> Host | None:
        """The host that the request names; None inside an application that checks it itself."""
        if _is_embedded(scope) and not self._settings.allowed_hosts:
            return None
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            raise Refusal(400, HOST, f"a request needs one header Host, and this one has {len(given)}")
        try:
            host = host_of(given[0])
        except ValueError as error:
            raise Refusal(400, HOST, str(error)) from None
        if not self._hosts.accepts(host, _address_of(scope)):
            raise Refusal(
                421,
                HOST,
                f"this service does not answer as {host.name[:100]}; if that is its name, add it to "
                "ATHANOR_ALLOWED_HOSTS",
            )
        return host

    def _check_origin(self, scope: Scope, fields: Fields, host: Host | None) -> None:
        if scope["method"] in SAFE:
            return
        site = fields.get(b"sec-fetch-site")
        if site is None and b"origin" not in fields:
            return
        origins = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        host = host or _host_or_none(fields)
        if (
            len(origins) > 1
            or host is None
            or not self._origins.accepts(
                origins[0] if origins else None, None if site is None else site.decode("latin-1"), host
            )
        ):
            raise Refusal(403, ORIGIN, "the origin of this page is not in ATHANOR_ALLOWED_ORIGINS")

    def _check_bind(self, scope: Scope) -> None:
        """Refuse a connection from beyond this machine, if nobody has decided to open the service.

        A server other than `athanor serve` may listen anywhere, which only a request shows.
        """
        if self._authorize is not None or not self._authenticator.is_open or self._settings.insecure:
            return
        address = _address_of(scope)
        if not _is_embedded(scope) and is_beyond_this_machine(address):
            raise Refusal(403, BIND, f"this service listens on {address}; {UNPROTECTED}")

    def _caller_of(self, scope: Scope, fields: Fields) -> Caller | None:
        """The caller; None on an open path without a credential."""
        anyone = self._authenticator.anyone()
        if anyone is not None:
            return anyone
        is_open = is_open_path(path_below_root(scope))
        authorization = fields.get(b"authorization")
        if authorization is not None:
            caller = self._authenticator.caller_of(secret_of(authorization.decode("latin-1")) or "")
            if caller is None and not is_open:
                raise wrong_credential()
            return caller
        cookies = cookie_parser(fields.get(b"cookie", b"").decode("latin-1"))
        cookie = cookies.get(cookie_name(scope), "")
        caller = self._authenticator.caller_of_cookie(cookie) if cookie else None
        if caller is None and not is_open:
            raise unauthenticated("the login has ended: log in again" if cookie else LOGIN)
        return caller

    async def slow_down(self, scope: Scope) -> None:
        """Wait before the answer to a wrong credential. Raises `Refusal` if many wait already."""
        address = peer_of(scope)
        delay = self._throttle.begin(address, time.monotonic())
        if delay is None:
            raise Refusal(
                429, THROTTLED, "too many wrong tokens come from this address", {"retry-after": "5"}
            )
        try:
            await asyncio.sleep(delay)
        finally:
            self._throttle.end(address)

    def response_to(self, refusal: Refusal, scope: Scope) -> Response:
        """Count a refusal and write it to the audit log; its response."""
        self._refusals.count(refusal.reason)
        audit.info(
            "refused (%s): %s %s from %s",
            refusal.reason,
            scope["method"],
            ascii(scope["path"])[:200],
            peer_of(scope) or "an unknown address",
        )
        return problem_of(refusal)

    async def _refuse(self, refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
        if refusal.is_slow:
            try:
                await self.slow_down(scope)
            except Refusal as too_many:
                refusal = too_many
        await self.response_to(refusal, scope)(scope, receive, send)


def is_open_path(path: str) -> bool:
    """Whether a path is served without a credential."""
    return path in OPEN or path.startswith("/static/")


def cookie_name(scope: Scope) -> str:
    """The name of the login's cookie. Browsers send cookies to all ports of a host."""
    host = _host_or_none(fields_in(scope))
    return f"athanor_{host.port}" if host is not None and host.port else "athanor"


def _host_or_none(fields: Fields) -> Host | None:
    try:
        return host_of(fields.get(b"host", b""))
    except ValueError:
        return None


def _is_embedded(scope: Scope) -> bool:
    """Whether another application passed the request on: `wrap` says so, and a mount's host does."""
    return "app" in scope or "athanor.authorize" in scope


def peer_of(scope: Scope) -> str:
    """The address at the client's end of the connection; empty for a Unix socket."""
    return str((scope.get("client") or ("",))[0])


def _address_of(scope: Scope) -> str:
    """The service's end of the connection; empty for a Unix socket."""
    address = (scope.get("server") or ("",))[0]
    return "" if "/" in address else str(address)


def _with_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = list(headers)
    return given + _missing(tuple([name for name, _ in given]))


@lru_cache(256)
def _missing(names: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
    """The gate's headers for a response that has headers of these names; few have others."""
    present = {name.lower() for name in names}
    return [header for header in _HEADERS if header[0] not in present]
