-- First in, first out for each route and ordering key: jobs of one line. Only its head is ready, running or parked; the others wait.
ALTER TABLE events ADD COLUMN ordering_key TEXT;

-- SQLite cannot change a CHECK: the table is made anew with one more state.
DROP INDEX jobs_ready;
DROP INDEX jobs_suspect;
DROP INDEX jobs_parked;
DROP INDEX jobs_by_event;
ALTER TABLE jobs RENAME TO jobs_before;
CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    event_seq       INTEGER NOT NULL,
    source          TEXT    NOT NULL,
    route           TEXT    NOT NULL,
    plugin          TEXT    NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('ready', 'running', 'waiting', 'parked')),
    due_at          INTEGER NOT NULL,
    attempt         INTEGER NOT NULL CHECK (attempt >= 0),
    attempts_before INTEGER NOT NULL CHECK (attempts_before BETWEEN 0 AND attempt),
    owed_since      INTEGER NOT NULL,
    owner           INTEGER,
    park_reason     TEXT,
    suspect         INTEGER NOT NULL CHECK (suspect IN (0, 1)),
    charges         INTEGER NOT NULL CHECK (charges >= 0),
    -- The line it stands in, and after how many failures the others go on without it; NULL: never.
    line            BLOB    CHECK (length(line) = 16),
    skip_after      INTEGER CHECK (skip_after >= 1),
    CHECK ((state = 'running') = (owner IS NOT NULL)),
    CHECK ((state = 'parked') = (park_reason IS NOT NULL)),
    CHECK (state <> 'waiting' OR line IS NOT NULL)
) STRICT;
INSERT INTO jobs (id, event_seq, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, park_reason, suspect, charges)
    SELECT id, event_seq, source, route, plugin, state, due_at, attempt, attempts_before, owed_since, owner, park_reason, suspect, charges FROM jobs_before;
DROP TABLE jobs_before;
CREATE INDEX jobs_ready ON jobs (source, due_at) WHERE state = 'ready' AND suspect = 0;
CREATE INDEX jobs_suspect ON jobs (charges, id) WHERE state = 'ready' AND suspect = 1;
CREATE INDEX jobs_parked ON jobs (plugin) WHERE state = 'parked';
CREATE INDEX jobs_by_event ON jobs (event_seq);
CREATE INDEX jobs_in_line ON jobs (line, route, id) WHERE line IS NOT NULL;
CREATE UNIQUE INDEX jobs_heads ON jobs (line, route) WHERE line IS NOT NULL AND state <> 'waiting';

-- A dead letter with a line holds it up until it is replayed or discarded.
ALTER TABLE dead_letters ADD COLUMN line BLOB CHECK (length(line) = 16);
CREATE UNIQUE INDEX dead_letters_heads ON dead_letters (line, route) WHERE line IS NOT NULL;
