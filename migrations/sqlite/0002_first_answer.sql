-- What the sender of an event was told, where that is not the usual answer: whoever sends it again is told the same.
ALTER TABLE events ADD COLUMN answer_status INTEGER CHECK (answer_status BETWEEN 200 AND 299);
ALTER TABLE events ADD COLUMN answer_body BLOB;
-- Whether there is any, for the start: where there is none, no duplicate costs a look at its first event.
CREATE INDEX events_answered_otherwise ON events (seq) WHERE answer_status IS NOT NULL;
