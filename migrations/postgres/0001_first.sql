-- The tables of the SQLite store, for several nodes. Times are Unix milliseconds; ids are UUIDs of version 7.
-- No foreign keys between hot tables: their locks would be shared by every node.

-- The one source of time. A test says what time it is; a server never does.
CREATE FUNCTION hookfast_now(given bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(given, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)
$$;

-- Each running server process, with the lease that it renews. What it runs is its own for as long as its row is here.
CREATE TABLE nodes (
    id          uuid   PRIMARY KEY,
    host        text   NOT NULL,
    version     text   NOT NULL,
    started_at  bigint NOT NULL,
    lease_until bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 100);

CREATE TABLE events (
    id            uuid   PRIMARY KEY,
    source        text   NOT NULL,
    event_type    text,
    dedupe_key    text,
    received_at   bigint NOT NULL,
    headers       bytea  NOT NULL,
    body          bytea  NOT NULL,
    -- What the sender was told, where that is not the usual answer.
    answer_status smallint CHECK (answer_status BETWEEN 200 AND 299),
    answer_body   bytea
);
-- Bodies are not compressed by the database: it would cost the hot path more than the space is worth.
ALTER TABLE events ALTER COLUMN headers SET STORAGE EXTERNAL;
ALTER TABLE events ALTER COLUMN body SET STORAGE EXTERNAL;

-- The dedupe window, exact over all nodes: a second sender of a key waits for the first one's commit.
CREATE TABLE dedupe_keys (
    hash       uuid   PRIMARY KEY,
    body_hash  bigint NOT NULL,
    event_id   uuid   NOT NULL,
    expires_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02);
-- Keys expire about in the order in which they came.
CREATE INDEX dedupe_keys_expiry ON dedupe_keys USING brin (expires_at);

CREATE TABLE jobs (
    id              bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id        uuid    NOT NULL,
    source          text    NOT NULL,
    route           text    NOT NULL,
    plugin          text    NOT NULL,
    state           text    NOT NULL CHECK (state IN ('ready', 'running', 'parked')),
    due_at          bigint  NOT NULL,
    attempt         integer NOT NULL CHECK (attempt >= 0),
    attempts_before integer NOT NULL CHECK (attempts_before BETWEEN 0 AND attempt),
    owed_since      bigint  NOT NULL,
    owner           uuid,
    park_reason     text,
    suspect         boolean NOT NULL,
    charges         integer NOT NULL CHECK (charges >= 0),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state = 'parked') = (park_reason IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX jobs_ready ON jobs (source, due_at) WHERE state = 'ready' AND NOT suspect;
CREATE INDEX jobs_suspect ON jobs (charges, id) WHERE state = 'ready' AND suspect;
CREATE INDEX jobs_parked ON jobs (plugin) WHERE state = 'parked';
CREATE INDEX jobs_by_event ON jobs (event_id);

CREATE TABLE attempts (
    event_id    uuid    NOT NULL,
    route       text    NOT NULL,
    attempt     integer NOT NULL,
    node        uuid    NOT NULL,
    plugin      text    NOT NULL,
    digest      bytea   NOT NULL CHECK (length(digest) = 32),
    started_at  bigint  NOT NULL,
    duration_us bigint  NOT NULL,
    outcome     text    NOT NULL CHECK (outcome IN ('done', 'retry', 'discarded', 'dead', 'parked')),
    failure     text,
    detail      text,
    retry_at    bigint,
    calls       text,
    log         text,
    PRIMARY KEY (event_id, route, attempt)
);

CREATE TABLE dead_letters (
    id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id uuid    NOT NULL,
    source   text    NOT NULL,
    route    text    NOT NULL,
    plugin   text    NOT NULL,
    attempts integer NOT NULL,
    cause    text    NOT NULL CHECK (cause IN ('max_attempts', 'max_age', 'permanent', 'process_crash', 'unstorable')),
    reason   text    NOT NULL,
    died_at  bigint  NOT NULL,
    UNIQUE (event_id, route)
);

CREATE TABLE discards (
    event_id     uuid    NOT NULL,
    route        text    NOT NULL,
    plugin       text    NOT NULL,
    attempts     integer NOT NULL,
    discarded_at bigint  NOT NULL,
    reason       text    NOT NULL,
    PRIMARY KEY (event_id, route)
);

-- Requests that did not become an event: a ring of bounded length for each source.
CREATE TABLE requests (
    seq        bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id         uuid     NOT NULL,
    source     text,
    at         bigint   NOT NULL,
    cause      text     NOT NULL,
    status     smallint NOT NULL,
    detail     text     NOT NULL,
    body_bytes bigint   NOT NULL
);
CREATE INDEX requests_by_source ON requests (source, seq);
