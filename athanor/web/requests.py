"""Reading requests: bodies, query parameters, headers."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import Request

from ..engine.athanor import Athanor
from ..exceptions import Fault, InvalidInput, InvalidQuery, NotStarted, TooLarge, UnsupportedType
from ..protocol.encoding import JSON_ERRORS, decode_json
from ..protocol.entries import Entry, Reader, fault_of, read_text
from ..protocol.records import FINAL

T = TypeVar("T")

NDJSON = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})
OVERLONG = 4
"""How many times the largest body is read to its end, to be refused then."""
_ANY_TYPE = frozenset(
    {"", "application/json", "application/x-www-form-urlencoded", "application/octet-stream"}
)
_STATUSES = ("pending", "running", *sorted(FINAL))


def engine_of(request: Request) -> Athanor:
    engine: Athanor = request.app.state.athanor
    if not engine.started:
        raise NotStarted(
            "Athanor is mounted here but not started. Give the host application "
            "lifespan=athanor.lifespan, or go around it with app = athanor.wrap(app, path)"
        )
    return engine


async def read_body(request: Request) -> bytes:
    """All of the body; `TooLarge` if it is. A client that closes in it leaves nothing.

    The rest of one that is not much too large is read and thrown away: an answer in the middle closes the
    connection, and who still sends, such as a proxy, may get to see that instead of the answer.
    """
    limit: int = request.app.state.athanor.settings.max_body_bytes
    coding = request.headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        raise UnsupportedType(f"a body can't be encoded as {coding[:100]}; send it as it is")
    too_large = f"a body may have {limit} bytes at most"
    length = request.headers.get("content-length", "")
    most = limit if "expect" in request.headers else OVERLONG * limit
    if length.isdigit() and int(length) > most:
        raise TooLarge(too_large)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > most:
            break
    if size > limit:
        raise TooLarge(too_large)
    return b"".join(chunks)


async def read_object(request: Request, type_: type[T], default: bytes = b"") -> T:
    """The body as one JSON object; `default` stands for an empty one."""
    body = (await read_body(request)).strip() or default
    if not body:
        raise InvalidInput("the body is empty, and should be a JSON object")
    try:
        return decode_json(msgspec.json.Decoder(type_), body)
    except JSON_ERRORS as error:
        fault: Fault = {"line": 1, **fault_of(error)}
        raise InvalidInput(f"{fault['path']}: {fault['detail']}", [fault]) from None


async def read_entries(request: Request, reader: Reader, text: bool = False) -> list[Entry]:
    """The body as entries: by its content type, or by its looks where that says nothing."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in NDJSON | _ANY_TYPE and not (text and media_type == "text/plain"):
        raise UnsupportedType(
            f"a body can't be {media_type}; it can be application/json or application/x-ndjson"
            + (" or text/plain" if text else "")
        )
    body = await read_body(request)
    most: int = request.app.state.athanor.settings.ring_capacity
    if body.count(b"\n") > most:
        raise TooLarge(f"one request may bring {most} lines at most")
    plain = media_type == "text/plain" or (
        media_type not in NDJSON
        and media_type != "application/json"
        and body.lstrip()[:1] not in (b"{", b"[", b"")
    )
    if text and plain:
        return list(read_text(body))
    return reader(body, media_type in NDJSON)


def number(request: Request, name: str, default: int | None, least: int, most: int = 2**62) -> int | None:
    """The query parameter `name` as a whole number; `InvalidQuery` if it is none, or out of range."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= int(text) <= most:
        return int(text)
    span = f"from {least} to {most}" if most < 2**62 else f"of {least} or more"
    raise InvalidQuery(f"{name} is {text[:100]!r}, and has to be a whole number {span}")


def limit_of(request: Request, default: int, most: int) -> int:
    limit = number(request, "limit", default, 1, most)
    assert limit is not None
    return limit


def status_of(request: Request) -> str | None:
    status = request.query_params.get("status")
    if status and status not in _STATUSES:
        raise InvalidQuery(f"there is no status {status[:100]!r}; it is {', '.join(_STATUSES)}")
    return status or None


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= 128:
        raise InvalidQuery("an Idempotency-Key has 1 to 128 characters")
    return key


def wants_async(request: Request) -> bool:
    """Whether `Prefer: respond-async` was said (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(item.partition(";")[0].strip().lower() == "respond-async" for item in preferences)


def accepted_type(request: Request, offered: tuple[str, ...]) -> str:
    """The first of `offered` that `Accept` likes best; the first of all if it likes none."""
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
