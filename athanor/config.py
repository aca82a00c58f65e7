"""Settings, which an operator chooses, and limits, which measurements chose. Both are frozen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from .database_url import Database, SqliteFile, parse_database_url
from .exceptions import ConfigurationError

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Bytes = Annotated[int, msgspec.Meta(ge=1024)]

MIB = 1024 * 1024

SECRET = frozenset({"token", "read_token", "jwt_key"})
"""The settings that are never shown."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator may set; the variable of a field is `ATHANOR_` and its name in capitals.

    `docs/reference.md` explains each field; a test compares the two.
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
    allowed_hosts: str = ""
    token: str = ""
    token_file: str = ""
    read_token: str = ""
    read_token_file: str = ""
    jwt_key: str = ""
    jwt_key_file: str = ""
    jwt_jwks_file: str = ""
    jwt_audience: str = "athanor"
    insecure: bool = False
    max_streams: Count = 10_000
    max_streams_per_client: Count | None = None
    max_connections: Count = 16_384

    def __post_init__(self) -> None:
        # an unusable URL is refused here, not at the first flush
        if self.sqlite_path is not None and self.workers > 1:
            raise ConfigurationError(
                f"{self.workers} workers can't use {self.sqlite_path}: SQLite serves one process. "
                "PostgreSQL serves several: ATHANOR_DATABASE_URL=postgresql://user@host/database"
            )

    def __repr__(self) -> str:
        # a secret must not get into a log or a traceback
        values = {**msgspec.structs.asdict(self), "database_url": self.database.place}
        shown = (f"{name}={value!r}" for name, value in values.items() if name not in SECRET)
        return f"Settings({', '.join(shown)})"

    @property
    def database(self) -> Database:
        """What `database_url` names. Raises `ConfigurationError` if it can't be understood."""
        return parse_database_url(self.database_url)

    @property
    def sqlite_path(self) -> str | None:
        """The file in `sqlite:///path` (absolute with four slashes); None for PostgreSQL.

        Raises `ConfigurationError` for a URL that names neither.
        """
        database = self.database
        return database.path if isinstance(database, SqliteFile) else None

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """Read settings from `environ`; `given` (keywords, not None) take precedence.

        Raises `ConfigurationError`, which names the variable whose value can't be used.
        """
        values: dict[str, Any] = {}
        for field in msgspec.structs.fields(cls):
            name = f"ATHANOR_{field.name.upper()}"
            if name in environ and environ[name] != "":
                values[field.name] = _convert(name, environ[name], field.type)
        values.update({name: value for name, value in given.items() if value is not None})
        return cls(**values)

    def to_env(self) -> dict[str, str]:
        """The variables from which another process reads the same settings."""
        values = msgspec.structs.asdict(self)
        return {f"ATHANOR_{name.upper()}": _text(value) for name, value in values.items()}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds that no operator has to choose. Sizes are in bytes, times in seconds.

    `docs/decisions.md` has the measurements behind them. Tests pass smaller ones.
    """

    frame_bytes: int = 256 * 1024
    """A frame ends after the event that fills it: 256 KiB is written in under a millisecond."""
    page_rows: int = 2000
    page_bytes: int = 256 * 1024
    """A page of a replay: about one frame, and at least one row, however large it is."""
    short_entry: int = 512
    text_rows: int = 1500
    """Entries of at most `short_entry` bytes are read as one text: `text_rows` of them first, and then
    as many as fill an event, up to `page_rows`. So a text has 1 MB at most."""
    pages_bytes: int = 4 * MIB
    most_pages: int = 256
    page_seconds: float = 1.0
    """Pages that were read for a replay are kept for that long, for others that read the same."""
    busy_entries: int = 100
    """A run with so many entries is read in pages that selections with further topics share."""
    busy_topics: int = 4
    """Of one selection: a page of each is in memory at once."""
    list_bytes: int = 8 * MIB
    """A page of logs or results ends after the entry that fills it."""
    flush_entries: int = 20_000
    flush_bytes: int = 8 * MIB
    """One flush takes about this much, so that it holds the event loop for some 30 ms."""
    retry_first: float = 0.1
    retry_most: float = 1.0
    """Pauses between two attempts at a flush that failed: doubled from the first to the most."""
    slow_flush: float = 1.0
    """A flush that takes longer makes the service not ready."""
    known_runs: int = 10_000
    """Runs whose state and progress are kept in memory; the longest unused are forgotten first."""
    upkeep_interval: float = 60.0
    """The pause between two searches for rows that may be deleted."""
    delete_rows: int = 2000
    """Rows deleted in one transaction, which takes some 10 ms."""
    relay_rows: int = 20_000
    relay_bytes: int = 4 * MIB
    """One read of the events of other processes: about one flush of theirs."""
    relay_interval: float = 0.02
    """The pause between two such reads: with N nodes that flush ten times a second, each node
    reads at most 50 times a second, and not 10 N times."""
    poll_interval: float = 1.0
    """Without a notification for this long, a process looks for new events by itself."""
    reconnect_pause: float = 0.25
    """The pause between two attempts to listen; up to as much again is added at random."""
    liveness_interval: float = 1.0
    """The pause between two messages to peers about the same runs' signs of life."""
    notification_bytes: int = 7500
    """PostgreSQL refuses a NOTIFY payload of 8,000 bytes."""
    shared_progress: int = 1000
    """Runs whose progress is sent to a peer that starts; the most recently reported ones."""
    busy_timeout: float = 0.25
    """The time SQLite waits for another process's lock; the flusher then tries again."""
    connect_timeout: float = 3.0
    """The time PostgreSQL has to accept a connection; retries of TCP would become rarer."""
    statement_timeout: float = 10.0
    """A connection whose statement takes longer counts as broken."""
    read_timeout: float = 60.0
    """The same for reads."""
    idle_transaction_timeout: float = 5.0
    """The server ends a transaction whose process has vanished after this time."""
    known_series: int = 5000
    """Keys of runs whose metrics the flush need not load: those of the last flushes, some 4 KiB each."""
    curve_rows: int = 100_000
    """The blocks and points that one request for curves reads, and as many points as it asks for."""
    short_curves: int = 20_000
    """One request for curves of more points together than this is read at a time."""
    record_bytes: int = 2 * MIB
    """A page of runs or instances ends after the one that fills it."""
    bodies_bytes: int = 64 * MIB
    """Bodies of requests in memory, from their first byte until their responses."""
    small_body: int = 64 * 1024
    small_bodies_bytes: int = 16 * MIB
    """Further room for bodies that are no larger than `small_body`: a few large ones that never end
    do not keep producers of single entries out."""
    backlog_bytes: int = 48 * MIB
    """All bytes that wait for clients; beyond it, clients that do not read are cut off."""
    chunk_bytes: int = 64 * 1024
    """A response is written in chunks of this size, so a client that does not read holds one."""
    turn_bytes: int = 512 * 1024
    """All clients together are sent about this much, which takes some 2 ms, before others run."""
    head_bytes: int = 64 * 1024
    head_fields: int = 100
    """A request line with its headers. Chunk extensions and trailers have the same bounds."""
    pipelined_requests: int = 32
    """Requests that wait on a connection for the response to an earlier one."""
    header_timeout: float = 10.0
    """From the connection, or from a request's first byte, to the end of its headers."""
    body_timeout: float = 30.0
    """Without a byte of a body that is not complete."""
    write_timeout: float = 60.0
    """A client that takes nothing for this long, although there is something to send, is cut off."""
    linger_timeout: float = 2.0
    """A connection is read for this long after a refusal, so that the client receives it."""
    notice_interval: float = 60.0
    """Between two lines in the log about refused connections."""
    search_time: float = 0.2
    """Seconds for which one request of a search reads, and perhaps a slice longer."""
    waiting_searches: int = 31
    """Searches that wait for the one that is under way; further ones are refused."""
    file_interval: float = 1.0
    """The pause between two looks at SQLite's files while nothing is written."""


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _convert(name: str, text: str, type_: Any) -> Any:
    try:
        return msgspec.convert(text, type=type_, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name} is {text!r}: {error}") from None
