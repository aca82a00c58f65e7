"""Secrets: passwords, tokens and keys in command lines and configurations are not recorded."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from .settings import without_login

HIDDEN = "***"

_WORD = r"(?:key|token|secret|password|passwd|credential)s?"
_OPTION = re.compile(rf"(--?[\w.-]*{_WORD}|[A-Za-z_]\w*{_WORD}|{_WORD})(=|\Z)", re.IGNORECASE)
"""An option or a variable whose name ends in such a word, and perhaps its value after it."""
_HEADER = re.compile(r"(authorization:\s*(?:\w+\s+)?|x-[\w-]*(?:key|token):\s*)\S.*", re.IGNORECASE)
# `pad_token` and its like are text of a tokenizer, and `sort_key` is a name
_FIELD = re.compile(
    r"(?:.*[_.-])?(?:api_?key|access_?key|secret_?key|private_?key|auth_?key|"
    r"(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)token|secret|password|passwd)",
    re.IGNORECASE,
)


# a value of `sort_key` is a word, one of `openai_key` is not
_KEY = re.compile(r"(?:.*[_.-])?key", re.IGNORECASE)
_RANDOM = re.compile(r"(?=.*\d)[\w+/=.-]{16,}")


def hidden_arguments(arguments: Iterable[str]) -> list[str]:
    """A command line in which `***` stands for each secret."""
    shown: list[str] = []
    is_value = False
    for argument in arguments:
        if is_value and not argument.startswith("-"):
            shown.append(HIDDEN)
            is_value = False
            continue
        found = _OPTION.match(argument)
        is_value = found is not None and not found[2] and argument.startswith("-")
        if found is not None and found[2]:
            shown.append(f"{found[1]}={HIDDEN}")
        else:
            shown.append(_HEADER.sub(rf"\1{HIDDEN}", _without_logins(argument)))
    return shown


def hidden_fields(value: Any, name: str = "") -> Any:
    """A JSON value in which `***` stands for each text that a key calls a secret."""
    if isinstance(value, dict):
        return {key: hidden_fields(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [hidden_fields(item, name) for item in value]
    if isinstance(value, str):
        is_secret = _FIELD.fullmatch(name) or (_KEY.fullmatch(name) and _RANDOM.fullmatch(value))
        return HIDDEN if value and is_secret else _without_logins(value)
    return value


def _without_logins(text: str) -> str:
    """URLs without user and password."""
    return _URL.sub(lambda found: without_login(found[0]), text) if "://" in text else text


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*@\S*")
