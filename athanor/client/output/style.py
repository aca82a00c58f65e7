"""Styles: the colours and attributes that are in force at a place of the output (ECMA-48, SGR)."""

from __future__ import annotations

from functools import lru_cache

RESET = "\x1b[0m"

_OFF = {
    "22": ("1", "2"), "23": ("3",), "24": ("4", "21"), "25": ("5", "6"), "27": ("7",), "28": ("8",),
    "29": ("9",), "39": ("fg",), "49": ("bg",), "55": ("53",), "59": ("58",),
}  # fmt: skip
"""What each parameter switches off."""
_COLOURS = {"38": "fg", "48": "bg", "58": "58"}
"""The parameters that are followed by a colour: `5;n` or `2;r;g;b`."""
_PALETTE = {
    **{str(number): "fg" for number in (*range(30, 38), *range(90, 98))},
    **{str(number): "bg" for number in (*range(40, 48), *range(100, 108))},
}


@lru_cache(maxsize=4096)
def changed(style: str, parameters: str) -> str:
    """The style after `\\x1b[{parameters}m`; styles are parameters too, empty for the default."""
    state = dict(_parsed(style)) if style else {}
    for kind, value in _parsed(parameters or "0"):
        if kind == "0":
            state.clear()
        elif kind in _OFF:
            for other in _OFF[kind]:
                state.pop(other, None)
        else:
            state[kind] = value
    return ";".join(state.values())


def sequence(style: str) -> str:
    """The escape sequence that begins a style; empty for the default."""
    return f"\x1b[{style}m" if style else ""


def _parsed(parameters: str) -> list[tuple[str, str]]:
    """Each attribute as its kind (a colour's is `fg` or `bg`) and its parameters."""
    found: list[tuple[str, str]] = []
    given = parameters.split(";")
    while given:
        first = given.pop(0)
        number = first.partition(":")[0].lstrip("0") or "0"
        if number in _COLOURS:
            length = 0 if ":" in first or not given else {"5": 2, "2": 4}.get(given[0], 0)
            rest, given = given[:length], given[length:]
            found.append((_COLOURS[number], ";".join([first, *rest])))
        else:
            found.append((_PALETTE.get(number, number), number))
    return found
