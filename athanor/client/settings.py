"""The client's settings: read from the environment when a run begins, frozen, and passed on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, urlsplit

import msgspec

from ..exceptions import ConfigurationError

DEFAULT_URL = "http://127.0.0.1:8000"

Mode = Literal["online", "offline", "disabled"]


class ClientSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where reports go, and how. Each field's variable is `ATHANOR_` and its name in capitals.

    `mode`: `online` sends, `offline` only writes to the spool for `athanor sync`, `disabled` does
    nothing at all. `run_id`: a run that this process joins instead of beginning one. `spool`: the
    folder for entries that wait, absolute from the start. `finish_timeout`: seconds that the end of
    a run waits for delivery. `signals`: SIGTERM and SIGHUP, where they would just end the process,
    deliver what is left and end the run as failed first. `quiet`: `init` prints no line with the
    run's name and address. `wrapped`: set by `athanor run` for its program, which describes the run
    it joins; it lists what the command line has fixed, as `name`.
    """

    url: str = DEFAULT_URL
    mode: Mode = "online"
    run_id: str | None = None
    spool: Path = Path(".athanor/spool")
    finish_timeout: float = 15.0
    signals: bool = True
    quiet: bool = False
    wrapped: str | None = None

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] = os.environ,
        *,
        url: str | None = None,
        mode: Mode | None = None,
        finish_timeout: float | None = None,
    ) -> ClientSettings:
        """The settings in `environ`; an argument that is not None comes first.

        Raises `ConfigurationError`, which names the argument or the variable.
        """
        given = {"url": url, "mode": mode, "finish_timeout": finish_timeout}
        values: dict[str, Any] = {}
        for field in cls.__struct_fields__:
            name, value = field, given.get(field)
            if value is None:
                name = f"ATHANOR_{field.upper()}"
                value = environ.get(name) or None
            if value is not None:
                values[field] = _READ[field](name, value)
        # a script may change its folder later
        values["spool"] = _absolute(values.get("spool", cls().spool))
        return cls(**values)


def without_login(url: str) -> str:
    """`url` without a user and a password, to be shown.

    All up to the last `@` is left out: a password that is not escaped may hold any character.
    """
    scheme, separator, rest = url.rpartition("://") if url.count("://") == 1 else url.partition("://")
    if not separator:
        scheme, rest = "", url
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def checked_url(name: str, url: str) -> str:
    """A service's address. Raises `ConfigurationError` if it can't be one.

    Without this check a typing error would look like a service that is away. The error shows no
    password; a user and a password that are not escaped are escaped in the result.
    """
    url = _with_escaped_login(url.strip())
    shown = without_login(url)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # the text of Python's error may hold a part of the password
        raise ConfigurationError(f"{name} is {shown!r}, which is no URL") from None
    is_service = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not is_service or parts.path.startswith("//"):
        raise ConfigurationError(
            f"{name} is {shown!r}, which is no URL of a service, as in {DEFAULT_URL}"
        )
    return url.rstrip("/")


def _with_escaped_login(url: str) -> str:
    """Escape `#`, `/`, `?` and `@` in a login, which would otherwise end the host's part."""
    scheme, separator, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    host_part = re.split("[/?#]", rest, maxsplit=1)[0]
    # without an @ in the host's part, an @ after a / belongs to the path: host:8000/a@b
    is_path = "@" not in host_part and rest[len(host_part) :].startswith("/")
    if not separator or not at or (is_path and _PORT.search(host_part)):
        return url
    user, colon, password = login.partition(":")
    escaped = f"{quote(user, safe='%')}{colon}{quote(password, safe='%')}"
    return f"{scheme}{separator}{escaped}@{place}"


_PORT = re.compile(r"^[^:]*(?::\d*)?$|\]")
"""A host's part that needs no login to make sense."""


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:
        # the current folder was deleted: writing will fail, and entries stay in memory
        return path


def _mode(name: str, value: str) -> str:
    if value not in get_args(Mode):
        raise ConfigurationError(f"{name} is {value!r}; modes are {', '.join(get_args(Mode))}")
    return value


def _seconds(name: str, value: float | str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1
    if not 0 <= seconds < float("inf"):
        raise ConfigurationError(f"{name} is {value!r}, and has to be seconds, 0 or more")
    return seconds


def _flag(name: str, value: bool | str) -> bool:
    flag = _FLAGS.get(str(value).strip().lower())
    if flag is None:
        raise ConfigurationError(f"{name} is {value!r}, and has to be 1 or 0")
    return flag


_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_READ: dict[str, Any] = {
    "url": checked_url,
    "mode": _mode,
    "run_id": lambda _, value: str(value),
    "spool": lambda _, value: Path(value),
    "finish_timeout": _seconds,
    "signals": _flag,
    "quiet": _flag,
    "wrapped": lambda _, value: str(value),
}
