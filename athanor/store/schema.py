"""The schema: `events` is the truth; `instances` and `runs` are its present state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

MARKS = {
    "meta": {"key", "value"},
    "events": {"n", "type", "instance_id", "run_id", "seq", "label", "size", "data"},
    "instances": {"id", "name", "experiment_module", "configuration", "created_n"},
    "runs": {"id", "instance_id", "status", "cancel_requested_at", "created_n", "trimmed_n"},
}
"""Tables and columns that every version has: by them Athanor recognises its own."""
RELATIONS = (
    *MARKS,
    *("receipts", "purges", "metrics", "blocks", "logs", "results", "counter", "flushes"),
)
"""All tables and views."""


def stranger(found: Mapping[str, set[str]]) -> str | None:
    """Why tables with the columns `found` are somebody else's; None for ours, or if there are none."""
    for name, columns in MARKS.items() if found else ():
        if name not in found:
            return f"it has a table {min(found)}, and none called {name}"
        if missing := sorted(columns - found[name]):
            return f"the table {name} has no column {missing[0]}"
    return None


class Dialect(NamedTuple):
    """The parts of the schema in which the databases differ."""

    number: str
    """The type of an event's number."""
    in_order: str
    """The column that gives the rows of one key of an index in the order of `n`."""
    integer: str
    """The type of a 64-bit integer."""
    binary: str
    """The type of bytes."""
    hex: str
    """A column of bytes as hexadecimal digits, for `fetch` reads no bytes; `{}` stands for the column."""
    exact: str
    """The collation that compares texts byte by byte, where that is not the default."""
    keyed: str
    """The option of a table that is read by its key only."""
    view: str
    """The statement that creates a view if it does not exist."""
    field: str
    """A field of the JSON in `data`; `{}` stands for its name."""
    joined: str
    """The texts of a column in the order of `n` as the bytes of one.

    `{}` stand for the column, a separator, and a filter of the rows or nothing.
    """


def among_types(types: Iterable[str] | None) -> str:
    """The condition that the type is one of these, which are checked; None means all types."""
    if types is None:
        return ""
    return " AND type IN ({})".format(", ".join(f"'{name}'" for name in sorted(types)))


def tables(dialect: Dialect) -> str:
    """The statements that create what does not exist yet."""
    return in_dialect(_TABLES + METRICS, dialect)


def in_dialect(statements: str, dialect: Dialect) -> str:
    fields = ("message", "metadata", "timestamp", "value", "step")
    return statements.format(
        **dialect._asdict(), **{field: dialect.field.format(field) for field in fields}
    )


# events_by_level has an expression, so that the planners choose between it and events_by_seq by what a
# statement says, not by statistics, which a new table does not have.
# `size` precedes `data`, so that a page can be measured without reading `data`.
# Entries have no `instance_id`, so that the indexes of lives stay small.
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) {keyed};

CREATE TABLE IF NOT EXISTS events (
    n {number},
    type TEXT NOT NULL,
    instance_id TEXT,
    run_id TEXT,
    seq {integer},
    label TEXT,
    size INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id{in_order}) WHERE run_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_seq ON events (run_id, type, seq, label) WHERE seq IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_instance ON events (instance_id{in_order})
    WHERE instance_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_level ON events (run_id, label, (seq + 0))
    WHERE type = 'run_log' AND label <> 'info';
CREATE INDEX IF NOT EXISTS events_of_life ON events (n) WHERE instance_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    experiment_module TEXT,
    description TEXT,
    configuration TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    created_n {integer} NOT NULL
) {keyed};
CREATE INDEX IF NOT EXISTS instances_by_age ON instances (created_n);
CREATE INDEX IF NOT EXISTS instances_by_name ON instances (name, created_n);

CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    instance_id TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    metadata TEXT NOT NULL,
    created_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    cancel_requested_at TEXT,
    log_count {integer} NOT NULL,
    result_count {integer} NOT NULL,
    created_n {integer} NOT NULL,
    ended_n {integer},
    trimmed_n {integer} NOT NULL DEFAULT 0,
    debug_count {integer} NOT NULL DEFAULT 0,
    info_count {integer} NOT NULL DEFAULT 0,
    warn_count {integer} NOT NULL DEFAULT 0,
    error_count {integer} NOT NULL DEFAULT 0
) {keyed};
CREATE INDEX IF NOT EXISTS runs_by_age ON runs (created_n);
CREATE INDEX IF NOT EXISTS runs_by_instance ON runs (instance_id, created_n, status);
CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status, created_n);
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS receipts (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    accepted {integer} NOT NULL,
    last_n {integer},
    cancel_requested {integer} NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
) {keyed};
CREATE INDEX IF NOT EXISTS receipts_by_age ON receipts (created_at);

CREATE TABLE IF NOT EXISTS purges (run_id TEXT PRIMARY KEY) {keyed};

{view} logs AS
SELECT run_id, seq, label AS level,
    {message} AS message,
    {metadata} AS metadata,
    {timestamp} AS timestamp,
    n
FROM events WHERE type = 'run_log' AND seq IS NOT NULL;

{view} results AS
SELECT run_id, seq, label AS key,
    {value} AS value,
    {step} AS step,
    {timestamp} AS timestamp,
    n
FROM events WHERE type = 'run_result' AND seq IS NOT NULL;
"""

# `metrics` has row ids: without them SQLite moves a row of more than 1,002 bytes to pages of its own,
# and a flush of 3,000 keys takes twice as long
METRICS = """
CREATE TABLE IF NOT EXISTS metrics (
    run_id TEXT NOT NULL,
    key TEXT{exact} NOT NULL,
    points {integer} NOT NULL,
    summary TEXT NOT NULL,
    tail {binary} NOT NULL,
    PRIMARY KEY (run_id, key)
);

CREATE TABLE IF NOT EXISTS blocks (
    run_id TEXT NOT NULL,
    key TEXT{exact} NOT NULL,
    level {integer} NOT NULL,
    block {integer} NOT NULL,
    seqs {binary} NOT NULL,
    data {binary} NOT NULL,
    PRIMARY KEY (run_id, key, level, block)
) {keyed};
"""
"""`summary` is JSON as it is shown; `tail`, `data` and `seqs` are what `domain/series.py` makes, in
MessagePack."""
