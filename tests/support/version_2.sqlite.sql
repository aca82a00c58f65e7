CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS events (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    instance_id TEXT,
    run_id TEXT,
    seq INTEGER,
    label TEXT,
    size INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id) WHERE run_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_seq ON events (run_id, type, seq, label) WHERE seq IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_instance ON events (instance_id)
    WHERE instance_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_of_life ON events (n) WHERE instance_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS instances (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    experiment_module TEXT,
    description TEXT,
    configuration TEXT NOT NULL,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    created_n INTEGER NOT NULL
) WITHOUT ROWID;
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
    log_count INTEGER NOT NULL,
    result_count INTEGER NOT NULL,
    created_n INTEGER NOT NULL,
    ended_n INTEGER,
    trimmed_n INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS runs_by_age ON runs (created_n);
CREATE INDEX IF NOT EXISTS runs_by_instance ON runs (instance_id, created_n, status);
CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status, created_n);
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS receipts (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    last_n INTEGER,
    cancel_requested INTEGER NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS receipts_by_age ON receipts (created_at);

CREATE TABLE IF NOT EXISTS purges (run_id TEXT PRIMARY KEY) WITHOUT ROWID;

CREATE VIEW IF NOT EXISTS logs AS
SELECT run_id, seq, label AS level,
    json_extract(data, '$.message') AS message,
    json_extract(data, '$.metadata') AS metadata,
    json_extract(data, '$.timestamp') AS timestamp,
    n
FROM events WHERE type = 'run_log' AND seq IS NOT NULL;

CREATE VIEW IF NOT EXISTS results AS
SELECT run_id, seq, label AS key,
    json_extract(data, '$.value') AS value,
    json_extract(data, '$.step') AS step,
    json_extract(data, '$.timestamp') AS timestamp,
    n
FROM events WHERE type = 'run_result' AND seq IS NOT NULL;
