-- What the sender of an event was told, where that is not the usual answer: whoever sends it again is told the same.
ALTER TABLE events ADD COLUMN answer_status INTEGER CHECK (answer_status BETWEEN 200 AND 299);
ALTER TABLE events ADD COLUMN answer_body BLOB;
