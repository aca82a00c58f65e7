"""Lines: what a producer reports, encoded at the moment it is reported. Nothing here raises.

A caller's objects may change as soon as a call is over, so they are encoded in it: 2 µs a line.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..protocol.encoding import without_surrogates
from ..protocol.entries import MAX_STEP, LogInput, ProgressInput, ResultInput

MAX_MESSAGE = 256 * 1024
"""Bytes of UTF-8 in a message, the service's default; a longer one is cut."""
MAX_KEY = 200
MAX_DEPTH = 50

_LEVELS: dict[str, Any] = {
    **{name: name for name in ("debug", "info", "warn", "error")},
    **{"warning": "warn", "critical": "error", "fatal": "error"},
}


def log_line(
    message: Any,
    level: str = "info",
    metadata: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> bytes:
    """A log entry's JSON and a line end; a message is made text, an unknown level is info."""
    if type(message) is not str:
        message = _text(message)
    if len(message) > MAX_MESSAGE // 4:
        message = _cut(message)
    entry = LogInput(
        message=message,
        level=_LEVELS.get(level if type(level) is str else "") or _level(level),
        metadata=dict(metadata) if metadata else None,
        timestamp=at or datetime.now(UTC),
    )
    return _encode(entry)


def result_line(key: Any, value: Any, step: Any = None) -> bytes:
    """A result's JSON and a line end; NaN and infinity have none and are null."""
    return _encode(
        ResultInput(
            key=_text(key)[:MAX_KEY] or "unnamed",
            value=value,
            step=None if step is None else _whole(step),
            timestamp=datetime.now(UTC),
        )
    )


def progress_body(current: Any, total: Any = None, message: Any = None) -> bytes | None:
    """Progress as the service takes it; None where `current` is no amount."""
    now, whole = _amount(current), _amount(total)
    if now is None:
        return None
    text = None if message is None else _cut(_text(message))
    return _encode(ProgressInput(current=now, total=whole, message=text))


def plain(thing: Any) -> Any:
    """What `thing` is in JSON: numbers of numpy and torch as such, and what has none as its text."""
    return msgspec.json.decode(_encode(thing))


def _encode(entry: Any) -> bytes:
    try:
        return _encoder.encode(entry) + b"\n"
    except Exception:
        # lone surrogates, keys that are no strings, circles
        return _encoder.encode(_built(entry)) + b"\n"


def _built(entry: Any) -> Any:
    """The same of plain things that can be encoded."""
    if not isinstance(entry, msgspec.Struct):
        return _safe(entry, MAX_DEPTH)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return {"type": entry.__struct_config__.tag, **_safe(fields, MAX_DEPTH)}


def _safe(thing: Any, depth: int) -> Any:
    if thing is None or isinstance(thing, bool | float | datetime):
        return thing
    if isinstance(thing, int):
        return int(thing) if -(2**63) <= thing < 2**64 else _text(thing)
    if isinstance(thing, str):
        return without_surrogates(str(thing))
    if depth == 0:
        return "…"
    if isinstance(thing, Mapping):
        return {_safe(_text(key), 1): _safe(thing[key], depth - 1) for key in thing}
    if isinstance(thing, list | tuple | set | frozenset):
        return [_safe(item, depth - 1) for item in thing]
    return _safe(_enc_hook(thing), depth - 1)


def _enc_hook(thing: Any) -> Any:
    """For what msgspec has no JSON for; arrays and tensors bring `tolist`, single numbers `item`."""
    for convert in ("tolist", "item"):
        with contextlib.suppress(Exception):
            found = getattr(thing, convert)()
            if not isinstance(found, type(thing)):
                return found
    if isinstance(thing, Mapping):
        return dict(thing)
    with contextlib.suppress(TypeError):
        return vars(thing) if type(thing).__module__ == "argparse" else _text(thing)
    return _text(thing)


def _text(thing: Any) -> str:
    try:
        return str(thing)
    except Exception as error:
        return f"<{type(thing).__name__} whose str() raised {type(error).__name__}>"


def _cut(message: str) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= MAX_MESSAGE:
        return message
    note = f"… ({len(data):,} bytes, cut)"
    return data[: MAX_MESSAGE - len(note.encode())].decode("utf-8", "ignore") + note


def _level(name: Any) -> Any:
    """`WARNING` is one too; what is none is info."""
    return _LEVELS.get(_text(name).lower(), "info")


def _amount(thing: Any) -> float | int | None:
    if thing is None:
        return None
    with contextlib.suppress(Exception):
        number = thing.item() if hasattr(thing, "item") else thing
        if isinstance(number, int | float) and math.isfinite(number) and number >= 0:
            return number
    return None


def _whole(step: Any) -> int | None:
    with contextlib.suppress(Exception):
        whole = int(step)
        return whole if abs(whole) <= MAX_STEP else None
    return None


_encoder = msgspec.json.Encoder(enc_hook=_enc_hook)
