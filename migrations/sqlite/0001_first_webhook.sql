-- One immutable, append-only table of what arrived; one narrow table of live jobs, which finished work leaves;
-- append-only attempts; dead letters. Times are Unix milliseconds; ids are the 16 bytes of a UUIDv7.

-- Each start of the server. Its number owns the jobs that the process runs.
CREATE TABLE boots (
    number     INTEGER PRIMARY KEY,
    node_id    BLOB    NOT NULL CHECK (length(node_id) = 16),
    started_at INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    source      TEXT    NOT NULL,
    event_type  TEXT,
    dedupe_key  TEXT,
    received_at INTEGER NOT NULL,
    headers     BLOB    NOT NULL,
    body        BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (id);

-- The dedupe window as it must survive a restart. Only appended to and pruned; the lookup is a map in memory.
CREATE TABLE dedupe_keys (
    seq        INTEGER PRIMARY KEY,
    hash       BLOB    NOT NULL CHECK (length(hash) = 16),
    body_hash  BLOB    NOT NULL CHECK (length(body_hash) = 8),
    event_id   BLOB    NOT NULL CHECK (length(event_id) = 16),
    expires_at INTEGER NOT NULL
) STRICT;

-- Keys past the bound of that map. A lookup here costs a random page, which is why the map comes first.
CREATE TABLE dedupe_overflow (
    hash       BLOB    PRIMARY KEY CHECK (length(hash) = 16),
    body_hash  BLOB    NOT NULL CHECK (length(body_hash) = 8),
    event_id   BLOB    NOT NULL CHECK (length(event_id) = 16),
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    event_seq       INTEGER NOT NULL,
    source          TEXT    NOT NULL,
    route           TEXT    NOT NULL,
    plugin          TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('ready', 'running', 'parked')),
    due_at          INTEGER NOT NULL,
    attempt         INTEGER NOT NULL CHECK (attempt >= 0),
    attempts_before INTEGER NOT NULL CHECK (attempts_before BETWEEN 0 AND attempt),
    owed_since      INTEGER NOT NULL,
    owner           INTEGER,
    park_reason     TEXT,
    suspect         INTEGER NOT NULL CHECK (suspect IN (0, 1)),
    charges         INTEGER NOT NULL CHECK (charges >= 0),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state = 'parked') = (park_reason IS NOT NULL))
) STRICT;
CREATE INDEX jobs_ready ON jobs (source, due_at) WHERE state = 'ready' AND suspect = 0;
CREATE INDEX jobs_suspect ON jobs (charges, id) WHERE state = 'ready' AND suspect = 1;
CREATE INDEX jobs_parked ON jobs (plugin) WHERE state = 'parked';

CREATE TABLE attempts (
    event_seq   INTEGER NOT NULL,
    route       TEXT    NOT NULL,
    attempt     INTEGER NOT NULL,
    boot        INTEGER NOT NULL,
    plugin      TEXT    NOT NULL,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    started_at  INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    outcome     TEXT    NOT NULL CHECK (outcome IN ('done', 'retry', 'discarded', 'dead', 'parked')),
    failure     TEXT,
    detail      TEXT,
    retry_at    INTEGER,
    calls       TEXT,
    log         TEXT,
    PRIMARY KEY (event_seq, route, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letters (
    id         INTEGER PRIMARY KEY,
    event_seq  INTEGER NOT NULL,
    source     TEXT    NOT NULL,
    route      TEXT    NOT NULL,
    plugin     TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    cause      TEXT    NOT NULL CHECK (cause IN ('max_attempts', 'max_age', 'permanent', 'process_crash', 'unstorable')),
    reason     TEXT    NOT NULL,
    died_at    INTEGER NOT NULL,
    UNIQUE (event_seq, route)
) STRICT;

-- A dead letter or job that an operator discarded: what became of it, and when.
CREATE TABLE discards (
    event_seq    INTEGER NOT NULL,
    route        TEXT    NOT NULL,
    plugin       TEXT    NOT NULL,
    attempts     INTEGER NOT NULL,
    discarded_at INTEGER NOT NULL,
    reason       TEXT    NOT NULL,
    PRIMARY KEY (event_seq, route)
) STRICT, WITHOUT ROWID;

-- Requests that did not become an event: a ring of bounded length for each source.
CREATE TABLE requests (
    seq        INTEGER PRIMARY KEY,
    id         BLOB    NOT NULL CHECK (length(id) = 16),
    source     TEXT,
    at         INTEGER NOT NULL,
    cause      TEXT    NOT NULL,
    status     INTEGER NOT NULL,
    detail     TEXT    NOT NULL,
    body_bytes INTEGER NOT NULL
) STRICT;
CREATE INDEX requests_by_source ON requests (source, seq);
