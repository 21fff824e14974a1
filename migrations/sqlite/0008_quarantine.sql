-- Refused requests of sources that keep them, as they came, until they are judged again or too old or too many.
CREATE TABLE quarantine (
    seq         INTEGER PRIMARY KEY,
    id          BLOB    NOT NULL CHECK (length(id) = 16),
    source      TEXT    NOT NULL,
    received_at INTEGER NOT NULL,
    method      TEXT    NOT NULL,
    target      TEXT    NOT NULL,
    -- Of headers, body and target together.
    bytes       INTEGER NOT NULL,
    headers     BLOB    NOT NULL,
    body        BLOB    NOT NULL
) STRICT;
CREATE INDEX quarantine_by_source ON quarantine (source, received_at, seq, bytes);
