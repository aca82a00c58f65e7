"""How producers, subscribers and commands reach the service: proxies, certificates, bounds.

httpx would read the environment itself, and raise for what it can't use. Here the environment is
read once for each address, a service on this machine is never asked through a proxy, and whatever
can't be used is a sentence in `Connection.problems`.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment
from urllib.request import proxy_bypass_environment as bypasses  # type: ignore[attr-defined]

import httpx

from ..version import __version__
from .settings import without_login

MAX_RESPONSE = 64 << 20
"""Bytes of a response that is not a stream. The service's largest page has 8 MiB and one entry."""
TIMEOUT = httpx.Timeout(30, connect=5)


class ResponseRefused(httpx.DecodingError):
    """A response that is too large, or encoded although we asked for plain bytes."""


@dataclass(frozen=True)
class Connection:
    """The way to one address. `problems` are sentences about the environment, for the user."""

    tls: ssl.SSLContext
    proxy: httpx.Proxy | None = None
    token: str = field(default="", repr=False)
    problems: list[str] = field(default_factory=list)

    def client(self, **options: Any) -> httpx.Client:
        """A blocking client with bounded responses."""
        return httpx.Client(**self._options(options), event_hooks={"response": [_bound]})

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """The same for asyncio."""
        return httpx.AsyncClient(**self._options(options), event_hooks={"response": [_bound_later]})

    def _options(self, given: dict[str, Any]) -> dict[str, Any]:
        headers = {"User-Agent": f"athanor/{__version__}", "Accept-Encoding": "identity"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return {
            **{"timeout": TIMEOUT, "trust_env": False, "verify": self.tls, "proxy": self.proxy},
            **given,
            "headers": {**headers, **given.get("headers", {})},
        }


@functools.lru_cache(16)
def connection_to(url: str) -> Connection:
    """The connection to a service's address; never raises because of the environment.

    A producer calls this in the thread that begins a run, not in the sender's: OpenSSL holds locks
    while it reads certificates, and a child that is forked at that moment would hang.
    """
    problems: list[str] = []
    return Connection(
        _tls_context(url.startswith("https:"), problems),
        _proxy_of(url, problems),
        _token(problems),
        problems,
    )


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _tls_context(is_needed: bool, problems: list[str]) -> ssl.SSLContext:
    """The TLS context; without trusted certificates where none is needed, which is faster."""
    if not is_needed:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name, argument in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        place = os.environ.get(name)
        if place:
            try:
                if argument == "capath" and not os.path.isdir(place):  # noqa: PTH112 - any text
                    raise NotADirectoryError(f"{place} is not a folder")
                return ssl.create_default_context(**{argument: place})  # type: ignore[arg-type]
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                problems.append(
                    f"{name} is {place[:200]!r}, which can't be read ({reason}); "
                    "the built-in certificates are used instead"
                )
    return httpx.create_ssl_context(trust_env=False)


def _proxy_of(url: str, problems: list[str]) -> httpx.Proxy | None:
    """The proxy that the environment names for this address, if it is usable."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    name = parts.scheme if parts.scheme in proxies else "all"
    proxy = proxies.get(name)
    if not proxy or is_loopback(host) or bypasses(host, proxies):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = proxy.partition("://")[0].lower()
    reason = ""
    if scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        reason = "which needs the package socksio (pip install 'httpx[socks]')"
    elif scheme == "socks":
        # as desktops write it
        proxy = f"socks5{proxy[len('socks') :]}"
    try:
        if not reason:
            return httpx.Proxy(proxy)
    except (ValueError, httpx.InvalidURL):
        reason = "which is not the address of a proxy"
    problems.append(
        f"{name}_proxy is {without_login(proxy)[:200]!r}, {reason}; "
        "the service is reached without a proxy"
    )
    return None


def _token(problems: list[str]) -> str:
    """The token for the service; empty if there is none, or it can't be used."""
    token, path = os.environ.get("ATHANOR_TOKEN", ""), os.environ.get("ATHANOR_TOKEN_FILE", "")
    name = "ATHANOR_TOKEN"
    if path and not token:
        name = "ATHANOR_TOKEN_FILE"
        try:
            token = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            problems.append(f"{name} is {path[:200]!r}, which can't be read ({reason}); no token is sent")
            return ""
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        problems.append(f"{name} has characters that no token has; no token is sent")
        return ""
    return token


def certificate_fault(error: BaseException | None) -> str | None:
    """Why TLS failed, if `error` comes from that: its certificate's fault, or the protocol's."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        if isinstance(error, ssl.SSLError):
            return (error.reason or "TLS failed").lower().replace("_", " ")
        error = error.__cause__ or error.__context__
    return None


class _Bounded(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The stream of a response, up to `MAX_RESPONSE` bytes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._size = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            yield self._counted(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield self._counted(piece)

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _counted(self, piece: bytes) -> bytes:
        self._size += len(piece)
        if self._size > MAX_RESPONSE:
            raise ResponseRefused(f"a response has more than {MAX_RESPONSE >> 20} MiB")
        return piece


def _bound(response: httpx.Response) -> None:
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        # a few KiB of gzip may become gigabytes
        raise ResponseRefused(
            f"a response is encoded as {coding[:100]!r}, which was not asked for",
            request=response.request,
        )
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status_code != 200 or media_type != "text/event-stream":
        response.stream = _Bounded(response.stream)


async def _bound_later(response: httpx.Response) -> None:
    _bound(response)
