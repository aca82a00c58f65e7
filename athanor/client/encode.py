"""Encoding of reports. Each is encoded in the call that reports it; nothing here raises.

The caller may change its objects as soon as the call returns. Encoding takes about 2 µs.
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
from ..protocol.records import LEVELS, Level

MAX_MESSAGE = 256 * 1024
"""Bytes of UTF-8 in a message, the service's default; a longer message is cut."""
MAX_KEY = 200
"""Characters of a result's key; a longer key is cut."""
MAX_DEPTH = 50
"""Levels of nesting in a value that has to be converted; deeper ones become `…`."""

# `logging` also calls its highest level FATAL
_LEVELS: dict[str, Level] = {**LEVELS, "fatal": "error"}


def encode_log(
    message: Any,
    level: str = "info",
    metadata: Mapping[str, Any] | None = None,
    at: datetime | None = None,
) -> bytes:
    """A log entry as one line of JSON. The message becomes text; an unknown level is info."""
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


def encode_result(key: Any, value: Any, step: Any = None) -> bytes:
    """A result as one line of JSON. NaN and infinity become null, for JSON has neither."""
    return _encode(
        ResultInput(
            key=_text(key)[:MAX_KEY] or "unnamed",
            value=value,
            step=None if step is None else _step(step),
            timestamp=datetime.now(UTC),
        )
    )


def encode_progress(current: Any, total: Any = None, message: Any = None) -> bytes | None:
    """Progress as one line of JSON; None if `current` is not a finite number of 0 or more."""
    current, total = _amount(current), _amount(total)
    if current is None:
        return None
    text = None if message is None else _cut(_text(message))
    return _encode(ProgressInput(current=current, total=total, message=text))


def plain(value: Any) -> Any:
    """`value` as JSON has it: NumPy's numbers become numbers, unknown objects their text."""
    return msgspec.json.decode(_encode(value))


def _encode(report: Any) -> bytes:
    try:
        return _encoder.encode(report) + b"\n"
    except Exception:
        # lone surrogates, keys that are not strings, circular references
        return _encoder.encode(_encodable(report)) + b"\n"


def _encodable(report: Any) -> Any:
    """A copy made of values that can be encoded."""
    if not isinstance(report, msgspec.Struct):
        return _safe(report, MAX_DEPTH)
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    return {"type": report.__struct_config__.tag, **_safe(fields, MAX_DEPTH)}


def _safe(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | float | datetime):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else _text(value)
    if isinstance(value, str):
        return without_surrogates(str(value))
    if depth == 0:
        return "…"
    if isinstance(value, Mapping):
        return {_safe(_text(key), 1): _safe(value[key], depth - 1) for key in value}
    if isinstance(value, list | tuple | set | frozenset):
        return [_safe(item, depth - 1) for item in value]
    return _safe(_enc_hook(value), depth - 1)


def _enc_hook(value: Any) -> Any:
    """Convert what msgspec can't encode; arrays and tensors have `tolist`, their numbers `item`."""
    for convert in ("tolist", "item"):
        with contextlib.suppress(Exception):
            converted = getattr(value, convert)()
            if not isinstance(converted, type(value)):
                return converted
    if isinstance(value, Mapping):
        return dict(value)
    with contextlib.suppress(TypeError):
        return vars(value) if type(value).__module__ == "argparse" else _text(value)
    return _text(value)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} whose str() raised {type(error).__name__}>"


def _cut(message: str) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= MAX_MESSAGE:
        return message
    note = f"… ({len(data):,} bytes, cut)"
    return data[: MAX_MESSAGE - len(note.encode())].decode("utf-8", "ignore") + note


def _level(name: Any) -> Level:
    """The level of a name in any case, such as `WARNING`; info if it is unknown."""
    return _LEVELS.get(_text(name).lower(), "info")


def _amount(value: Any) -> float | int | None:
    if value is None:
        return None
    with contextlib.suppress(Exception):
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, int | float) and math.isfinite(number) and number >= 0:
            return number
    return None


def _step(value: Any) -> int | None:
    with contextlib.suppress(Exception):
        step = int(value)
        return step if abs(step) <= MAX_STEP else None
    return None


_encoder = msgspec.json.Encoder(enc_hook=_enc_hook)
