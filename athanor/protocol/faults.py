"""Faults: what is wrong with a body and where, out of msgspec's messages."""

from __future__ import annotations

import re

from ..exceptions import Fault

_AT = re.compile(r"(.*) - at `(?:key in )?(.*)`", re.DOTALL)
_INDEX = re.compile(r"\$\[(\d+)\]")


def fault_of(error: Exception, in_array: bool = False) -> Fault:
    """The place and the fault, out of msgspec's message; the items of an array count as lines."""
    if isinstance(error, UnicodeDecodeError):
        return {"path": "$", "detail": "this is not UTF-8"}
    if isinstance(error, RecursionError):
        return {"path": "$", "detail": "this is nested too deeply"}
    match = _AT.fullmatch(str(error))
    detail, path = (match[1], match[2]) if match else (str(error), "$")
    detail = detail.replace("JSON is malformed: ", "this is no JSON: ")
    if detail == "Input data was truncated":
        detail = "this is no JSON: it ends too early"
    index = _INDEX.match(path)
    if in_array and index:
        return {"line": int(index[1]) + 1, "path": path, "detail": detail}
    return {"path": path, "detail": detail}


def moved(fault: Fault, items: int) -> Fault:
    """The fault of an item of an array, `items` further on."""
    path = _INDEX.sub(lambda found: f"$[{int(found[1]) + items}]", fault["path"], count=1)
    return {**fault, "line": fault["line"] + items, "path": path}
