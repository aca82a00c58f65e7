"""The OpenAPI 3.1 document, made from the table of endpoints and its types."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..exceptions import Fault
from ..protocol.events import TYPES
from .responses import JSON, NDJSON, SSE, TEXT
from .routes import ENDPOINTS, Endpoint


class ProblemDetails(msgspec.Struct, kw_only=True):
    """A problem (RFC 9457); `errors` lists the faulty lines of a body."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


_QUERY = {
    "after": ("integer", "only entries after this seq"),
    "after key": ("string", "only what comes after this key"),
    "points": ("integer", "about how many points of each curve; 4 to 10000"),
    "x": ("string", "step or time"),
    "from": ("number", "only points from this step, or time in seconds since the epoch"),
    "to": ("number", "only points to this step, or time in seconds since the epoch"),
    "run": ("string", "a run's id; up to 50 of them"),
    "summary": ("string", "also metrics, of this key; up to 50 of them, or * for the first 20"),
    "before": ("integer", "only what comes before this position"),
    "limit": ("integer", "the largest number of items"),
    "level": ("string", "one or more levels, separated by commas"),
    "stream": ("string", "only entries whose metadata has this stream, as stderr"),
    "q": ("string", "text in the message or the metadata; ASCII case does not matter"),
    "name": ("string", "the instance's name, exactly"),
    "key": ("string", "the result's key; may be repeated"),
    "status": ("string", "the run's status"),
    "topic": ("string", "a topic; up to 128 of them"),
    "types": ("string", f"only events of these types, separated by commas: {', '.join(TYPES)}"),
    "tail": ("integer", "the number of newest events to send first; 10,000 at most"),
    "last_event_id": ("string", "a cursor, where the header Last-Event-ID can't be sent"),
    "exact": ("string", "1 leaves every cell of CSV as it was reported, formulas too"),
    "unnamed": ("string", "1 leaves out the lines that begin with event:"),
}
_STREAM_QUERY = ("types", "tail", "last_event_id", "unnamed")


def describe(version: str) -> dict[str, Any]:
    """The document, for a version of Athanor."""
    types = [ProblemDetails]
    for endpoint in ENDPOINTS:
        types += [kind for kind in (endpoint.body, *endpoint.responses.values()) if kind is not None]
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
        content = {JSON: {"schema": schema_of[repr(endpoint.body)]}}
        if endpoint.headers:
            content[NDJSON] = {"schema": {"type": "string"}}
        if endpoint.plain_text:
            content[TEXT] = {"schema": {"type": "string"}}
        operation["requestBody"] = {"content": content}
    for status, kind in endpoint.responses.items():
        operation["responses"][str(status)] = {"description": "done"}
        if kind is not None:
            media_type = TEXT if kind is str else JSON
            operation["responses"][str(status)]["content"] = {
                media_type: {"schema": schema_of[repr(kind)]}
            }
    for status in (*endpoint.errors, 503):
        operation["responses"][str(status)] = _problem()
    return operation


def _stream(id: str, path: tuple[str, ...], query: tuple[str, ...]) -> dict[str, Any]:
    return {
        "operationId": id,
        "summary": "Server-sent events: a replay after the cursor, then live events",
        "parameters": _parameters(path, query, ("Last-Event-ID",)),
        "responses": {
            "200": {
                "description": "a stream",
                "content": {media: {"schema": {"type": "string"}} for media in (SSE, NDJSON, TEXT)},
            },
            "204": {"description": "the run or instance has ended, and no events are left"},
            **{str(status): _problem() for status in (400, 404, 503)},
        },
    }


def _parameters(path: Any, query: tuple[str, ...], headers: tuple[str, ...]) -> list[Any]:
    text = {"type": "string"}
    return [
        *({"name": name, "in": "path", "required": True, "schema": text} for name in path),
        *(
            {
                # what a name means may depend on the list
                "name": name.partition(" ")[0],
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
        "description": "refused; detail gives the reason",
        "content": {"application/problem+json": {"schema": schema}},
    }
