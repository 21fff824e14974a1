-- What a handler asks for and what its job remembers: state, deliveries, steps, emitted events, and jobs that wait for an upstream.

-- The job that emitted an event (its lineage), how many emitted events the chain has up to this one, and which of those it is that the
-- job asked for.
ALTER TABLE events ADD COLUMN parent text;
ALTER TABLE events ADD COLUMN depth integer;
ALTER TABLE events ADD COLUMN nth integer;
CREATE INDEX events_by_parent ON events (parent) WHERE parent IS NOT NULL;

-- The upstream that a parked job waits for; else it waits for its plugin.
ALTER TABLE jobs ADD COLUMN upstream text;
ALTER TABLE jobs ADD CONSTRAINT jobs_upstream_check CHECK ((upstream IS NOT NULL) = (park_reason IS NOT DISTINCT FROM 'upstream_down'));
DROP INDEX jobs_parked;
CREATE INDEX jobs_parked ON jobs (plugin) WHERE state = 'parked' AND upstream IS NULL;
CREATE INDEX jobs_parked_for_upstream ON jobs (upstream, id) WHERE upstream IS NOT NULL;

-- Outbound requests that handlers hand over: what a job delivers whose route is that of a delivery. Kept as long as the event.
CREATE TABLE deliveries (
    event_id uuid    NOT NULL,
    route    text    NOT NULL,
    digest   bytea   NOT NULL CHECK (length(digest) = 32),
    upstream text    NOT NULL,
    method   text    NOT NULL,
    path     text    NOT NULL,
    headers  bytea   NOT NULL,
    body     bytea   NOT NULL,
    replays  integer NOT NULL CHECK (replays >= 0),
    PRIMARY KEY (event_id, route)
);
ALTER TABLE deliveries ALTER COLUMN headers SET STORAGE EXTERNAL;
ALTER TABLE deliveries ALTER COLUMN body SET STORAGE EXTERNAL;

-- The journal of each job: the first final response of each of its steps, or that the step's call was about to be made.
CREATE TABLE steps (
    event_id   uuid    NOT NULL,
    route      text    NOT NULL,
    step       text    NOT NULL,
    state      text    NOT NULL CHECK (state IN ('forgotten', 'begun', 'recorded')),
    replays    integer NOT NULL CHECK (replays >= 0),
    -- The attempt that began it, or that was answered.
    attempt    integer,
    request    bytea   CHECK (length(request) = 32),
    summary    text,
    status     integer,
    headers    bytea,
    body       bytea,
    latency_ms bigint,
    PRIMARY KEY (event_id, route, step),
    CHECK ((state = 'forgotten') = (attempt IS NULL)),
    CHECK (num_nulls(request, summary, status, headers, body, latency_ms) = CASE state WHEN 'recorded' THEN 0 ELSE 6 END)
);
ALTER TABLE steps ALTER COLUMN headers SET STORAGE EXTERNAL;
ALTER TABLE steps ALTER COLUMN body SET STORAGE EXTERNAL;

-- What plugins keep: of each for all its sources (then `source` is empty), or for one.
CREATE TABLE state (
    plugin     text   NOT NULL,
    source     text   NOT NULL,
    key        bytea  NOT NULL,
    value      bytea  NOT NULL,
    version    bigint NOT NULL CHECK (version > 0),
    expires_at bigint,
    PRIMARY KEY (plugin, source, key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE INDEX state_expiring ON state (expires_at) WHERE expires_at IS NOT NULL;

-- The bytes that the keys and values above take together. Whoever changes any of them locks this row first.
CREATE TABLE state_usage (
    plugin text   NOT NULL,
    source text   NOT NULL,
    bytes  bigint NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (plugin, source)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

-- Versions of state, never used again. A transaction takes one number, and with it the million up to the next.
CREATE SEQUENCE state_versions AS bigint MINVALUE 1 START 1048576 INCREMENT 1048576;
