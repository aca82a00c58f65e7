"""Settings of a run that are given on the command line: `--config lr=1e-3 --config model.depth=4`."""

from __future__ import annotations

from typing import Any

import click
import msgspec


def read_items(_: click.Context, __: click.Parameter, items: tuple[str, ...]) -> dict[str, Any]:
    """The settings as nested objects: `model.depth=4` is `{"model": {"depth": 4}}`.

    A value is JSON if it can be, else text. Raises `click.BadParameter`.
    """
    config: dict[str, Any] = {}
    for item in items:
        key, separator, text = item.partition("=")
        *path, last = key.split(".")
        if not separator or not all((*path, last)):
            raise click.BadParameter(f"{item!r} is no KEY=VALUE, as in lr=1e-3")
        place = config
        for name in path:
            if not isinstance(place.get(name), dict):
                place[name] = {}
            place = place[name]
        place[last] = _value(text)
    return config


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
