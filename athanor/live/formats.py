"""Formats: how an event is sent. Server-sent events, NDJSON, and text for people to read.

That text may reach a terminal, so it is sanitized: it has no escape sequences and no forged lines.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..protocol.safe_text import one_line, sanitized
from .frames import KEEPALIVE, WireEvent


def sse(id: str | None, event: WireEvent) -> bytes:
    """A server-sent event whose name is its type."""
    if event is _KEEPALIVE:
        return b": keep-alive\n\n"
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, event.type.encode(), event.data)


def sse_unnamed(id: str | None, event: WireEvent) -> bytes:
    """A server-sent event without a name, which a bare `onmessage` receives."""
    if event is _KEEPALIVE:
        return b": keep-alive\n\n"
    head = b"" if id is None else b"id: %b\n" % id.encode()
    return b"%bdata: %b\n\n" % (head, event.data)


def ndjson(id: str | None, event: WireEvent) -> bytes:
    """The event's JSON on one line, with its `id` if it has one; a keep-alive is an empty line."""
    if id is None:
        return event.data + b"\n"
    return b'{"id":"%b",%b\n' % (id.encode(), event.data[1:])


def text(id: str | None, event: WireEvent) -> bytes:
    """Lines of text, as a log has them; a keep-alive is nothing."""
    if event is _KEEPALIVE:
        return b""
    data = msgspec.json.decode(event.data)
    return "".join(f"{line}\n" for line in _lines(data)).encode()


def log_text(entry: dict[str, Any]) -> str:
    """A log entry, given as its JSON object, as text: time, level, message."""
    return f"{entry['timestamp']} {entry['level'].upper():5} {_block(entry['message'])}"


def result_text(entry: dict[str, Any]) -> str:
    """A result, given as its JSON object, as text: time, step, key and value."""
    step = "" if entry["step"] is None else f" step {entry['step']}"
    return one_line(f"{entry['timestamp']}{step} {entry['key']} = {_json(entry['value'])}")


def _lines(data: dict[str, Any]) -> list[str]:
    match data:
        case {"log": log}:
            return [log_text(log)]
        case {"logs": logs}:
            return [log_text(log) for log in logs]
        case {"result": result}:
            return [result_text(result)]
        case {"results": results}:
            return [result_text(result) for result in results]
        case {"type": "run_progress", "current": current, "total": total, "message": message}:
            of = "" if total is None else f" of {total}"
            return [f"progress {current}{of}" + (f": {one_line(message)}" if message else "")]
        case {"run": run}:
            error = f": {_block(run['error'])}" if run["error"] else ""
            return [f"run {run['id']} {_verb(data['type'], 'run_')}{error}"]
        case {"type": "run_deleted", "run_id": id}:
            return [f"run {id} deleted"]
        case {"instance": instance}:
            name = one_line(instance["name"])
            return [f"instance {instance['id']} {_verb(data['type'], 'instance_')}: {name}"]
        case {"instance_id": id}:
            return [f"instance {id} deleted"]
        case _:
            return [
                f"gap ({data['reason']}): events between {data['after']} and {data['oldest']} are gone"
            ]


def _block(text: str) -> str:
    """Sanitized text; its later lines are indented, so that they can't look like entries."""
    return sanitized(text).replace("\n", "\n    ")


def _verb(type_: str, prefix: str) -> str:
    return type_.removeprefix(prefix).replace("_", " ")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


(_KEEPALIVE,) = KEEPALIVE.events
