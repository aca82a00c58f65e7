CREATE OR REPLACE FUNCTION athanor_json(data TEXT) RETURNS JSON LANGUAGE sql IMMUTABLE AS $$
    SELECT (CASE WHEN position('\u0000' IN data) = 0 THEN data
        ELSE regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g') END)::json
$$;

CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) ;

CREATE TABLE IF NOT EXISTS events (
    n BIGINT PRIMARY KEY,
    type TEXT NOT NULL,
    instance_id TEXT,
    run_id TEXT,
    seq BIGINT,
    label TEXT,
    size INTEGER NOT NULL,
    data TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_by_run ON events (run_id, n) WHERE run_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_seq ON events (run_id, type, seq, label) WHERE seq IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_by_instance ON events (instance_id, n)
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
    created_n BIGINT NOT NULL
) ;
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
    log_count BIGINT NOT NULL,
    result_count BIGINT NOT NULL,
    created_n BIGINT NOT NULL,
    ended_n BIGINT,
    trimmed_n BIGINT NOT NULL DEFAULT 0
) ;
CREATE INDEX IF NOT EXISTS runs_by_age ON runs (created_n);
CREATE INDEX IF NOT EXISTS runs_by_instance ON runs (instance_id, created_n, status);
CREATE INDEX IF NOT EXISTS runs_by_status ON runs (status, created_n);
CREATE INDEX IF NOT EXISTS runs_by_end ON runs (completed_at) WHERE completed_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS receipts (
    run_id TEXT NOT NULL,
    key TEXT NOT NULL,
    accepted BIGINT NOT NULL,
    last_n BIGINT,
    cancel_requested BIGINT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (run_id, key)
) ;
CREATE INDEX IF NOT EXISTS receipts_by_age ON receipts (created_at);

CREATE TABLE IF NOT EXISTS purges (run_id TEXT PRIMARY KEY) ;

CREATE OR REPLACE VIEW logs AS
SELECT run_id, seq, label AS level,
    (athanor_json(data) ->> 'message') AS message,
    (athanor_json(data) ->> 'metadata') AS metadata,
    (athanor_json(data) ->> 'timestamp') AS timestamp,
    n
FROM events WHERE type = 'run_log' AND seq IS NOT NULL;

CREATE OR REPLACE VIEW results AS
SELECT run_id, seq, label AS key,
    (athanor_json(data) ->> 'value') AS value,
    (athanor_json(data) ->> 'step') AS step,
    (athanor_json(data) ->> 'timestamp') AS timestamp,
    n
FROM events WHERE type = 'run_result' AND seq IS NOT NULL;

CREATE TABLE IF NOT EXISTS counter (newest BIGINT NOT NULL);
INSERT INTO counter SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM counter);

CREATE TABLE IF NOT EXISTS flushes (
    process TEXT PRIMARY KEY, number BIGINT NOT NULL, at TIMESTAMPTZ NOT NULL DEFAULT now()
);
