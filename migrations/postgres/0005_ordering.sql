-- First in, first out for each route and ordering key: jobs of one line. Only its head is ready, running or parked; the others wait.
ALTER TABLE events ADD COLUMN ordering_key text;

ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check CHECK (state IN ('ready', 'running', 'waiting', 'parked'));
-- The line it stands in, and after how many failures the others go on without it; NULL: never.
ALTER TABLE jobs ADD COLUMN line uuid;
ALTER TABLE jobs ADD COLUMN skip_after integer CHECK (skip_after >= 1);
ALTER TABLE jobs ADD CONSTRAINT jobs_waiting_check CHECK (state <> 'waiting' OR line IS NOT NULL);
CREATE INDEX jobs_in_line ON jobs (line, route, id) WHERE line IS NOT NULL;
CREATE UNIQUE INDEX jobs_heads ON jobs (line, route) WHERE line IS NOT NULL AND state <> 'waiting';

-- A dead letter with a line holds it up until it is replayed or discarded.
ALTER TABLE dead_letters ADD COLUMN line uuid;
CREATE UNIQUE INDEX dead_letters_heads ON dead_letters (line, route) WHERE line IS NOT NULL;
