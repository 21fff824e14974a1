-- An event's number is a part of its id since this version, and its first job has the same number: two indexes have nothing to find
-- any more but what is older (whose numbers are small), and an event's other jobs.
DROP INDEX events_by_id;
CREATE UNIQUE INDEX events_by_id ON events (id) WHERE seq < 1099511627776;
DROP INDEX jobs_by_event;
CREATE INDEX jobs_by_event ON jobs (event_seq) WHERE id <> event_seq;
