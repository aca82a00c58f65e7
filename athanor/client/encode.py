"""Encoding of reports. Each is encoded in the call that reports it; nothing here raises.

The caller may change its objects as soon as the call returns. Encoding takes about 2 µs.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from ..protocol.bounds import MAX_ENTRY, MAX_OBJECT, MAX_PROGRESS_MESSAGE
from ..protocol.encoding import spelled, without_surrogates
from ..protocol.entries import LogInput, ProgressInput, ResultInput
from ..protocol.records import LEVELS, MAX_BARS, MAX_STEP, Level, ProgressBar

MAX_MESSAGE = 256 * 1024
"""Bytes of UTF-8 in a message, the service's default; a longer message is cut."""
MAX_KEY = 200
"""Characters of a result's key, the service's limit."""
KEPT_KEY = 185
"""Characters that are kept of a longer key; a digest of all of it follows, so that no two merge."""
MAX_BITS = 10_000
"""Bits of an integer: Python writes 4,300 digits at most (`sys.set_int_max_str_digits`)."""
MAX_DEPTH = 50
"""Levels of nesting in a value that has to be converted; deeper ones become `…`."""

# `logging` also calls its highest level FATAL
_LEVELS: dict[str, Level] = {**LEVELS, "fatal": "error"}
UPDATE = b'{"type":"run_update","metadata":'
"""The beginning of a line with changes of the metadata. It is sent as a request of its own."""
_SIMPLE = frozenset({int, str, bool, type(None)})
"""Types whose values have only one JSON, without a number that JSON lacks."""


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
        metadata=_exact(dict(metadata)) if metadata else None,
        timestamp=at or datetime.now(UTC),
    )
    line = _encode(entry)
    return line if len(line) <= MAX_ENTRY else _shortened(entry, len(line))


def encode_result(key: Any, value: Any, step: Any = None) -> bytes:
    """A result as one line of JSON, without its step if `step_of` has none.

    One that is larger than the service takes becomes a log entry that says so. NaN and infinity
    become the strings that mean them (docs/protocol.md).
    """
    entry = ResultInput(
        key=_key(key),
        value=_exact(value),
        step=step_of(step),
        timestamp=datetime.now(UTC),
    )
    line = _encode(entry)
    if len(line) <= MAX_ENTRY:
        return line
    at = "" if entry.step is None else f" at step {entry.step}"
    text = f"the result {entry.key!r}{at} is left out: it has {len(line):,} bytes of JSON"
    return encode_log(f"athanor: {text}, and {MAX_ENTRY:,} is the most", "warn")


def encode_progress(
    current: Any, total: Any = None, message: Any = None, bars: Iterable[Any] | None = None
) -> bytes | None:
    """Progress as one line of JSON; None if `current` is not a finite number of 0 or more.

    `bars`: several bars, each as `(current, total, message)`; the first 16 are sent.
    """
    outer = _bar(current, total, message)
    if outer is None:
        return None
    shown: list[ProgressBar] | msgspec.UnsetType = msgspec.UNSET
    if bars is not None:
        found = (_bar(*bar) for bar in list(bars)[:MAX_BARS])
        shown = [bar for bar in found if bar is not None]
    fields = msgspec.structs.asdict(outer)
    return _encode(ProgressInput(**fields, bars=shown))


def encode_update(changes: Mapping[str, Any]) -> bytes:
    """Changes of the run's metadata as one line of JSON, which waits among the entries."""
    return UPDATE + _encode(changes)[:-1] + b"}\n"


def fitting(fields: Mapping[str, Any], most: int = MAX_OBJECT) -> dict[str, Any]:
    """An object in at most `most` bytes of JSON: the largest values in it give way to their sizes.

    Of too many small ones, the first are kept.
    """
    fitted: dict[str, Any] = _safe(fields, MAX_DEPTH)
    total = _size(fitted)
    leaves = _leaves(fitted) if total > most else []
    for size, holder, key in sorted(leaves, key=lambda leaf: leaf[0], reverse=True):
        note = f"({size:,} bytes, left out)"
        if total <= most or size <= _size(note):
            break
        holder[key] = note
        total -= size - _size(note)
    return fitted if total <= most else _first(fitted, most)


def _leaves(fields: dict[str, Any]) -> list[tuple[int, dict[str, Any], str]]:
    """The values in an object, and in the objects in it: size, the object and the key of each."""
    found = []
    for key, value in fields.items():
        if isinstance(value, dict):
            found += _leaves(value)
        else:
            found.append((_size(value), fields, key))
    return found


def _first(fields: dict[str, Any], most: int) -> dict[str, Any]:
    """The first fields that fit in `most` bytes of JSON."""
    kept: dict[str, Any] = {}
    left = most - 2
    for key, value in fields.items():
        room = left - _size(key) - 2
        part = _first(value, room) if isinstance(value, dict) and _size(value) > room > 0 else value
        if _size(part) > room:
            break
        kept[key] = part
        left = room - _size(part)
    return kept


def _size(value: Any) -> int:
    return len(_encoder.encode(value))


def flattened(values: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Nested mappings as keys and values: `{"train": {"loss": 0.1}}` has `train/loss`."""
    for key, value in values.items():
        name = f"{prefix}{_text(key)}"
        if isinstance(value, Mapping) and value and depth < MAX_DEPTH:
            yield from flattened(value, f"{name}/", depth + 1)
        else:
            yield name, value


def step_of(step: Any) -> int | float | None:
    """A step as a number; None if it is none, not finite, or beyond 2^53."""
    if type(step) is int and -MAX_STEP <= step <= MAX_STEP:
        return step
    number = None if step is None else as_number(step)
    return number if number is not None and abs(number) <= MAX_STEP else None


def as_number(value: Any) -> int | float | None:
    """The number that `value` is, of whatever type; None if it is none.

    NumPy's and PyTorch's numbers have `item`; Decimal and Fraction have `__float__`, and stay exact
    where they are whole.
    """
    with contextlib.suppress(Exception):
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return float(value)
        if hasattr(value, "item"):
            item = value.item()
            return None if type(item) is type(value) else as_number(item)
        kind = type(value)
        if hasattr(kind, "__index__"):
            return int(kind.__index__(value))
        if hasattr(kind, "__float__"):
            number = float(value)
            return int(value) if number.is_integer() and value == int(value) else number
    return None


def plain(value: Any) -> Any:
    """`value` as JSON has it: NumPy's numbers become numbers, unknown objects their text."""
    return msgspec.json.decode(_encode(_exact(value)))


def _exact(value: Any) -> Any:
    """`value`, or what has the same JSON, except that NaN and infinity are spelled."""
    kind = type(value)
    if kind in _SIMPLE:
        return value
    if kind is float:
        return value if math.isfinite(value) else spelled(value)
    try:
        data = _encoder.encode(value)
    except Exception:
        return _safe(value, MAX_DEPTH)
    # numbers that JSON lacks are null in it; those of Decimal are words
    if b"null" in data or b"NaN" in data or b"nfinity" in data:
        return _safe(value, MAX_DEPTH)
    return msgspec.Raw(data)


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
    if value is None or isinstance(value, bool | datetime | msgspec.Raw):
        return value
    if isinstance(value, float):
        return spelled(float(value))
    if isinstance(value, int):
        return int(value) if value.bit_length() < MAX_BITS else _text(value)
    if isinstance(value, Decimal):
        return value if value.is_finite() else spelled(float(str(value).lower().replace("snan", "nan")))
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
    """Convert what msgspec can't encode; arrays and tensors have `tolist`."""
    with contextlib.suppress(Exception):
        converted = value.tolist()
        if not isinstance(converted, type(value)):
            return converted
    number = as_number(value)
    if number is not None:
        return number
    if isinstance(value, Mapping):
        return dict(value)
    with contextlib.suppress(TypeError):
        return vars(value) if type(value).__module__ == "argparse" else _text(value)
    return _text(value)


def _key(key: Any) -> str:
    text = _text(key)
    if len(text) <= MAX_KEY:
        return text or "unnamed"
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
    return f"{text[:KEPT_KEY]}…{digest}"


def _bar(current: Any, total: Any, message: Any) -> ProgressBar | None:
    done = _amount(current)
    if done is None:
        return None
    text = None if message is None else _cut(_text(message), MAX_PROGRESS_MESSAGE)
    return ProgressBar(current=done, total=_amount(total), message=text)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__} whose str() raised {type(error).__name__}>"


def _shortened(entry: LogInput, size: int) -> bytes:
    """A log entry of `size` bytes that the service would not take, without metadata."""
    metadata = {"athanor": f"{size:,} bytes, and {MAX_ENTRY:,} is the most: metadata is left out"}
    line = _encode(msgspec.structs.replace(entry, metadata=metadata))
    if len(line) > MAX_ENTRY:
        # a control character is six bytes of JSON
        message = _cut(entry.message, MAX_ENTRY // 8)
        line = _encode(msgspec.structs.replace(entry, message=message, metadata=metadata))
    return line


def _cut(message: str, most: int = MAX_MESSAGE) -> str:
    data = message.encode("utf-8", "replace")
    if len(data) <= most:
        return message
    note = f"… ({len(data):,} bytes, cut)"
    return data[: most - len(note.encode())].decode("utf-8", "ignore") + note


def _level(name: Any) -> Level:
    """The level of a name in any case, such as `WARNING`; info if it is unknown."""
    return _LEVELS.get(_text(name).lower(), "info")


def _amount(value: Any) -> float | int | None:
    number = None if value is None else as_number(value)
    return number if number is not None and math.isfinite(number) and number >= 0 else None


_encoder = msgspec.json.Encoder(enc_hook=_enc_hook, decimal_format="number")
