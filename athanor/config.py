"""Settings: read once from the environment, frozen, and handed down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from .exceptions import ConfigurationError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Bytes = Annotated[int, msgspec.Meta(ge=1024)]

MIB = 1024 * 1024


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be set; each field is the environment's `ATHANOR_` and its name in capitals.

    The README's table explains them one by one (a test keeps the two together).
    """

    database_url: str = "sqlite:///athanor.db"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    workers: Count = 1
    log_level: str = "info"
    flush_interval: Seconds = 0.1
    ring_capacity: Count = 100_000
    ring_bytes: Bytes = 64 * MIB
    queue_frames: Count = 256
    queue_bytes: Bytes = MIB
    readers: Count = 2
    keepalive: Seconds = 15.0
    cancel_timeout: Seconds = 30.0
    stale_after: Seconds = 60.0
    shutdown_timeout: Seconds = 2.0
    max_body_bytes: Bytes = 8 * MIB
    max_message_bytes: Bytes = 256 * 1024
    idempotency_hours: Seconds = 24.0
    retention_days: Seconds | None = None
    retention_rows: Count | None = None
    allowed_origins: str = ""

    def __post_init__(self) -> None:
        # an unusable URL is refused here, not at the first flush
        if self.sqlite_path is None:
            _check_hosts(self.database_url)
        elif self.workers > 1:
            raise ConfigurationError(
                f"{self.workers} workers can't use {self.sqlite_path}: SQLite serves one process. "
                "PostgreSQL serves several: ATHANOR_DATABASE_URL=postgresql://user@host/database"
            )

    @property
    def sqlite_path(self) -> str | None:
        """The file behind `sqlite:///path`, absolute with four slashes; None for PostgreSQL."""
        if self.database_url.startswith(("postgresql://", "postgres://")):
            return None
        scheme, separator, path = self.database_url.partition(":///")
        if not separator or scheme not in ("sqlite", "sqlite+aiosqlite"):
            raise ConfigurationError(
                f"ATHANOR_DATABASE_URL is {self.database_url!r}, but has to be sqlite:///path "
                "(four slashes for an absolute path) or postgresql://user@host/database"
            )
        if not path or path == ":memory:" or "?" in path or "#" in path or "%" in path:
            raise ConfigurationError(
                f"ATHANOR_DATABASE_URL is {self.database_url!r}, but has to name a file, "
                "without ?, # or % in its name; what is acknowledged is kept on disk"
            )
        return path

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """Settings from `environ`, with `given` (keywords, not None) taking precedence.

        `ConfigurationError` names the variable whose value can't be used.
        """
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(cls):
            name = f"ATHANOR_{field.name.upper()}"
            if name in environ and environ[name] != "":
                values[field.name] = _convert(name, environ[name], field.type)
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables from which another process gets the same settings."""
        values = msgspec.structs.asdict(self)
        return {f"ATHANOR_{name.upper()}": _text(value) for name, value in values.items()}


def _check_hosts(url: str) -> None:
    """A PostgreSQL URL may have several; it is not shown where it is wrong, for the password in it."""
    try:
        for host in urlsplit(url).netloc.rpartition("@")[2].split(","):
            urlsplit(f"//{host}").port  # noqa: B018 - raises what is wrong with it
    except ValueError as error:
        raise ConfigurationError(f"ATHANOR_DATABASE_URL can't be read: {error}") from None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _convert(name: str, text: str, type_: Any) -> Any:
    try:
        return msgspec.convert(text, type=type_, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name} is {text!r}: {error}") from None
