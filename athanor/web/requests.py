"""Reads requests: bodies, query parameters and headers."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine
from typing import Any, TypeVar, get_args

from starlette.requests import ClientDisconnect, Request

from ..engine.athanor import Athanor
from ..exceptions import Fault, InvalidInput, InvalidQuery, NotStarted, TooLarge, UnsupportedType
from ..protocol.bodies import PART, PART_LINES, TEXT_LINES, Reader
from ..protocol.encoding import JSON_ERRORS
from ..protocol.entries import EncodedReports
from ..protocol.faults import fault_of
from ..protocol.inputs import accepted
from ..protocol.records import Status
from .bodies import Bodies
from .fields import fields_of
from .responses import JSON, NDJSON, TEXT

T = TypeVar("T")

OVERLONG = 4
"""A body of up to this many times `max_body_bytes` is read to its end before it is refused."""
MOST_DIGITS = 100
_NDJSON_TYPES = frozenset({NDJSON, "application/ndjson", "application/jsonl"})
_OTHER_TYPES = frozenset({"", JSON, "application/x-www-form-urlencoded", "application/octet-stream"})
"""Media types that clients send by default, whatever the body is."""
_ANY_TYPES = _NDJSON_TYPES | _OTHER_TYPES
_STATUSES: tuple[Status, ...] = get_args(Status)


def engine_of(request: Request) -> Athanor:
    """The engine that a request is for. Raises `NotStarted` if nothing has started it."""
    engine: Athanor = request.app.engine
    if not engine.started:
        raise NotStarted(
            "Athanor is mounted here but not started: give the host application "
            "lifespan=athanor.lifespan, or wrap it with app = athanor.wrap(app, path)"
        )
    return engine


async def read_body(request: Request) -> bytes:
    """The whole body, which counts as being in memory until the response.

    Raises `TooLarge`, `ClientDisconnect`, `UnsupportedType` if the body is compressed, or `RingFull`
    if the bodies of all requests would have too many bytes.

    The rest of a body that is refused, and not much too large, is read and dropped. A response before
    its end would close the connection, and a client that still sends, such as a proxy, might lose it.
    """
    app, fields = request.app, fields_of(request)
    bodies: Bodies = app.bodies
    limit: int = app.engine.settings.max_body_bytes
    coding = fields.get(b"content-encoding", b"identity")
    if coding.lower() != b"identity":
        name = coding[:100].decode("latin-1")
        raise UnsupportedType(f"Content-Encoding {name} is not supported; send it uncompressed")
    length = fields.get(b"content-length", b"")
    waits = b"expect" in fields
    most = limit if waits else OVERLONG * limit
    if length.isdigit() and int(length) > most:
        raise _too_large(limit)
    if waits and length.isdigit() and not bodies.has_room(0, int(length)):
        raise bodies.full()
    body: bytes | bytearray = b""
    size = 0
    refused = False
    async for chunk in request.stream():
        if not chunk:
            continue
        if not refused and size + len(chunk) <= limit and bodies.has_room(size, len(chunk)):
            bodies.count(request, len(chunk))
            # one piece: many tiny ones would take forty times their bytes
            body = _joined(body, chunk)
        elif not refused:
            refused, body = True, b""
            bodies.release(request)
        size += len(chunk)
        if size > most:
            break
    if size > limit:
        raise _too_large(limit)
    if refused:
        raise bodies.full()
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"a body may have at most {limit} bytes")


def _joined(body: bytes | bytearray, chunk: bytes) -> bytes | bytearray:
    if not body:
        return chunk
    whole = body if isinstance(body, bytearray) else bytearray(body)
    whole += chunk
    return whole


async def read_object(request: Request, type_: type[T], default: bytes = b"") -> T:
    """The body as one JSON object; an empty body means `default`.

    Raises `InvalidInput`, and what `read_body` raises.
    """
    body = (await read_body(request)).strip() or default
    if not body:
        raise InvalidInput("the body is empty; it must be a JSON object")
    if len(body) <= PART:
        return _object(body, type_)
    bodies: Bodies = request.app.bodies
    async with bodies.turn():
        return _object(body, type_)


def _object(body: bytes, type_: type[T]) -> T:
    try:
        return accepted(body, type_)
    except JSON_ERRORS as error:
        fault: Fault = {"line": 1, **fault_of(error)}
        raise InvalidInput(f"{fault['path']}: {fault['detail']}", [fault]) from None


async def read_reports(request: Request, reader: Reader, text: bool = False) -> EncodedReports:
    """The reports in the body, encoded.

    The media type gives the format; if it does not, the first byte does. Raises `InvalidInput`,
    and what `read_body` raises.
    """
    engine = engine_of(request)
    given = fields_of(request).get(b"content-type", b"").decode("latin-1")
    media_type = given.partition(";")[0].strip().lower()
    if media_type not in _ANY_TYPES and not (text and media_type == TEXT):
        supported = f"{JSON}, {NDJSON} or {TEXT}" if text else f"{JSON} or {NDJSON}"
        raise UnsupportedType(f"a body of type {media_type} is not supported; send {supported}")
    body = await read_body(request)
    most = engine.settings.ring_capacity
    if body.count(b"\n") > most:
        raise TooLarge(f"a request may have at most {most} lines")
    looks_like_json = body.lstrip()[:1] in (b"{", b"[", b"")
    names_json = media_type == JSON or media_type in _NDJSON_TYPES
    if text and (media_type == TEXT or not (names_json or looks_like_json)):
        return await _encoded(request, TEXT_LINES, body, False)
    try:
        return await _encoded(request, reader, body, media_type in _NDJSON_TYPES)
    except InvalidInput as error:
        at_beginning = any(fault.get("path") in ("$", "$[0]") for fault in error.faults)
        if not text or names_json or isinstance(error, TooLarge) or not at_beginning:
            raise
        # such as "[INFO] loading", or "[1/10] training"
        remedy = f"lines of text that begin so need Content-Type: {TEXT}"
        raise InvalidInput(f"{error}; {remedy}", error.faults) from None


async def _encoded(request: Request, reader: Reader, body: bytes, ndjson: bool) -> EncodedReports:
    """Read and encode a body: a large one in its turn, and with pauses for everything else."""
    encoded = engine_of(request).encoder()
    if len(body) <= PART and body.count(b"\n") <= PART_LINES:
        for part in reader.parts(body, ndjson):
            encoded.add(part)
        return encoded
    bodies: Bodies = request.app.bodies
    async with bodies.turn() as pause:
        for part in reader.parts(body, ndjson):
            await pause()
            encoded.add(part)
            await pause()
    return encoded


async def until_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The outcome of `work`, which is cancelled when the client leaves. Raises `ClientDisconnect`."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_departure(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await working
    finally:
        leaving.cancel()
        working.cancel()


async def _departure(request: Request) -> None:
    """Wait until the client has left; what it still sends is of no use."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def number(request: Request, name: str, default: int | None, least: int, most: int = 2**62) -> int | None:
    """The query parameter `name` as an integer in a range. Raises `InvalidQuery`."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    span = f"from {least} to {most}" if most < 2**62 else f"of {least} or more"
    raise InvalidQuery(f"{name} is {text[:100]!r}; it must be an integer {span}")


def real(request: Request, name: str) -> float | None:
    """The query parameter `name` as a finite number. Raises `InvalidQuery`."""
    text = request.query_params.get(name, "")
    if text == "":
        return None
    with contextlib.suppress(ValueError):
        # Python's `float` takes digits of other scripts, and 1_000
        is_plain = len(text) <= MOST_DIGITS and text.isascii() and "_" not in text
        if is_plain and math.isfinite(value := float(text)):
            return value
    raise InvalidQuery(f"{name} is {text[:100]!r}; it must be a number")


def limit_of(request: Request, default: int, most: int) -> int:
    """The query parameter `limit`. Raises `InvalidQuery`."""
    limit = number(request, "limit", default, 1, most)
    assert limit is not None
    return limit


def is_set(request: Request, name: str) -> bool:
    """Whether the query parameter `name` is there, and neither empty nor 0."""
    return request.query_params.get(name, "") not in ("", "0")


def status_of(request: Request) -> Status | None:
    """The query parameter `status`. Raises `InvalidQuery` if there is no such status."""
    name = request.query_params.get("status") or None
    if name is None or name in _STATUSES:
        return name
    raise InvalidQuery(f"status is {name[:100]!r}; it must be one of {', '.join(_STATUSES)}")


def idempotency_key(request: Request) -> str | None:
    """The header `Idempotency-Key`. Raises `InvalidQuery` if its length is wrong."""
    key = fields_of(request).get(b"idempotency-key")
    if key is None:
        return None
    if not 1 <= len(key) <= 128:
        raise InvalidQuery("an Idempotency-Key must have 1 to 128 characters")
    return key.decode("latin-1")


def wants_async(request: Request) -> bool:
    """Whether the request has `Prefer: respond-async` (RFC 7240)."""
    if b"prefer" not in fields_of(request):
        return False
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(item.partition(";")[0].strip().lower() == "respond-async" for item in preferences)


def accepted_type(request: Request, offered: tuple[str, ...]) -> str:
    """The media type in `offered` that `Accept` prefers; the first of all if it accepts none."""
    best, best_quality = offered[0], 0.0
    for item in request.headers.get("accept", "").split(","):
        media_type, *params = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for param in params:
            if param.startswith("q="):
                try:
                    quality = float(param[2:])
                except ValueError:
                    quality = 0.0
        if media_type in offered and quality > best_quality:
            best, best_quality = media_type, quality
    return best
