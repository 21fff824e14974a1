-- What a handler asks for and what its job remembers: state, deliveries, steps, emitted events, and jobs that wait for an upstream.

-- The job that emitted an event (its lineage), and how many emitted events the chain has up to this one. The id of such an event has no
-- number in it, since it is made before the event is stored.
ALTER TABLE events ADD COLUMN parent TEXT;
ALTER TABLE events ADD COLUMN depth INTEGER CHECK ((depth IS NULL) = (parent IS NULL) AND depth >= 1);
CREATE UNIQUE INDEX events_emitted ON events (id) WHERE parent IS NOT NULL;
CREATE INDEX events_by_parent ON events (parent) WHERE parent IS NOT NULL;

-- The upstream that a parked job waits for; else it waits for its plugin.
ALTER TABLE jobs ADD COLUMN upstream TEXT CHECK ((upstream IS NOT NULL) = (park_reason IS 'upstream_down'));
DROP INDEX jobs_parked;
CREATE INDEX jobs_parked ON jobs (plugin) WHERE state = 'parked' AND upstream IS NULL;
CREATE INDEX jobs_parked_for_upstream ON jobs (upstream) WHERE upstream IS NOT NULL;

-- Outbound requests that handlers hand over: what a job delivers whose route is that of a delivery. Kept as long as the event.
CREATE TABLE deliveries (
    event_seq INTEGER NOT NULL,
    route     TEXT    NOT NULL,
    digest    BLOB    NOT NULL CHECK (length(digest) = 32),
    upstream  TEXT    NOT NULL,
    method    TEXT    NOT NULL,
    path      TEXT    NOT NULL,
    headers   BLOB    NOT NULL,
    body      BLOB    NOT NULL,
    replays   INTEGER NOT NULL CHECK (replays >= 0),
    PRIMARY KEY (event_seq, route)
) STRICT;

-- The journal of each job: the first final response of each of its steps, or that the step's call was about to be made.
CREATE TABLE steps (
    event_seq  INTEGER NOT NULL,
    route      TEXT    NOT NULL,
    step       TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('forgotten', 'begun', 'recorded')),
    replays    INTEGER NOT NULL CHECK (replays >= 0),
    -- The attempt that began it, or that was answered.
    attempt    INTEGER,
    request    BLOB    CHECK (length(request) = 32),
    summary    TEXT,
    status     INTEGER,
    headers    BLOB,
    body       BLOB,
    latency_ms INTEGER,
    PRIMARY KEY (event_seq, route, step),
    CHECK ((state = 'forgotten') = (attempt IS NULL)),
    CHECK ((state = 'recorded') = (request IS NOT NULL)),
    CHECK ((request IS NULL) = (summary IS NULL)),
    CHECK ((request IS NULL) = (status IS NULL)),
    CHECK ((request IS NULL) = (headers IS NULL)),
    CHECK ((request IS NULL) = (body IS NULL)),
    CHECK ((request IS NULL) = (latency_ms IS NULL))
) STRICT;

-- What plugins keep: of each for all its sources (then `source` is empty), or for one.
CREATE TABLE state (
    number     INTEGER PRIMARY KEY,
    plugin     TEXT    NOT NULL,
    source     TEXT    NOT NULL,
    key        BLOB    NOT NULL,
    value      BLOB    NOT NULL,
    version    INTEGER NOT NULL CHECK (version > 0),
    expires_at INTEGER,
    UNIQUE (plugin, source, key)
) STRICT;
CREATE INDEX state_expiring ON state (expires_at) WHERE expires_at IS NOT NULL;

-- The bytes that the keys and values above take together, and the last version that was given to one of them.
CREATE TABLE state_usage (
    plugin  TEXT    NOT NULL,
    source  TEXT    NOT NULL,
    bytes   INTEGER NOT NULL CHECK (bytes >= 0),
    version INTEGER NOT NULL CHECK (version >= 0),
    PRIMARY KEY (plugin, source)
) STRICT, WITHOUT ROWID;
