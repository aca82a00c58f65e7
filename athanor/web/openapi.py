"""OpenAPI 3.1, made from the table of endpoints and the types in it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..exceptions import Fault
from ..protocol.events import TYPES
from .routes import ENDPOINTS, Endpoint
from .streams import NDJSON, SSE, TEXT


class ProblemDetails(msgspec.Struct, kw_only=True):
    """RFC 9457; `errors` where single lines of a body are at fault."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


_QUERY = {
    "after": ("integer", "seq behind which to begin"),
    "before": ("integer", "position before which to begin"),
    "limit": ("integer", "how many at most"),
    "level": ("string", "one level or several, with commas between"),
    "q": ("string", "text in the message, whatever its case"),
    "name": ("string", "the instance's name, exactly"),
    "key": ("string", "the result's key"),
    "status": ("string", "the run's status"),
    "topic": ("string", "a topic; may come up to 128 times"),
    "types": ("string", f"only these, with commas between: {', '.join(TYPES)}"),
    "tail": ("integer", "the newest so many events first; 10,000 at most"),
    "last_event_id": ("string", "a cursor, where Last-Event-ID can't be sent"),
    "unnamed": ("string", "1: no event: lines"),
}
_STREAM_QUERY = ("types", "tail", "last_event_id", "unnamed")


def describe(version: str) -> dict[str, Any]:
    """The whole document."""
    types = [ProblemDetails]
    for endpoint in ENDPOINTS:
        types += [kind for kind in (endpoint.body, *endpoint.answers.values()) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        item = paths.setdefault(endpoint.path, {})
        item[endpoint.method.lower()] = _operation(endpoint, schema_of)
    paths["/events"] = {"get": _stream("events_of_topics", (), ("topic", *_STREAM_QUERY))}
    paths["/events/{topic}"] = {"get": _stream("events_of_topic", ("topic",), _STREAM_QUERY)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Athanor", "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, schema_of: dict[str, Any]) -> dict[str, Any]:
    words = re.findall(r"[a-z_]+", endpoint.path)
    operation: dict[str, Any] = {
        "operationId": "_".join([endpoint.method.lower(), *words]),
        "summary": endpoint.summary,
        "parameters": _parameters(
            re.findall(r"\{(\w+)\}", endpoint.path), endpoint.query, endpoint.headers
        ),
        "responses": {},
    }
    if endpoint.body is not None:
        content = {"application/json": {"schema": schema_of[repr(endpoint.body)]}}
        if endpoint.headers:
            content["application/x-ndjson"] = {"schema": {"type": "string"}}
        if endpoint.plain_text:
            content["text/plain"] = {"schema": {"type": "string"}}
        operation["requestBody"] = {"content": content}
    for status, kind in endpoint.answers.items():
        operation["responses"][str(status)] = {"description": "done"}
        if kind is not None:
            media_type = "text/plain" if kind is str else "application/json"
            operation["responses"][str(status)]["content"] = {
                media_type: {"schema": schema_of[repr(kind)]}
            }
    for status in (*endpoint.errors, 503):
        operation["responses"][str(status)] = _problem()
    return operation


def _stream(id: str, path: tuple[str, ...], query: tuple[str, ...]) -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": "Server-sent events: replay behind the cursor, then live",
        "parameters": _parameters(path, query, ("Last-Event-ID",)),
        "responses": {
            "200": {
                "description": "a stream",
                "content": {form: {"schema": {"type": "string"}} for form in (SSE, NDJSON, TEXT)},
            },
            "204": {"description": "the run or instance has ended, and nothing is left"},
            **{str(status): _problem() for status in (400, 404, 503)},
        },
    }


def _parameters(path: Any, query: tuple[str, ...], headers: tuple[str, ...]) -> list[Any]:
    text = {"type": "string"}
    return [
        *({"name": name, "in": "path", "required": True, "schema": text} for name in path),
        *(
            {
                "name": name,
                "in": "query",
                "description": _QUERY[name][1],
                "schema": {"type": _QUERY[name][0]},
            }
            for name in query
        ),
        *({"name": name, "in": "header", "schema": text} for name in headers),
    ]


def _problem() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        "description": "refused, with the reason",
        "content": {"application/problem+json": {"schema": schema}},
    }
