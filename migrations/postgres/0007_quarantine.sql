-- Refused requests of sources that keep them, as they came, until they are judged again or too old or too many.
CREATE TABLE quarantine (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid   NOT NULL,
    source      text   NOT NULL,
    received_at bigint NOT NULL,
    method      text   NOT NULL,
    target      text   NOT NULL,
    -- Of headers, body and target together.
    bytes       bigint NOT NULL,
    headers     bytea  NOT NULL,
    body        bytea  NOT NULL
);
ALTER TABLE quarantine ALTER COLUMN headers SET STORAGE EXTERNAL;
ALTER TABLE quarantine ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX quarantine_by_source ON quarantine (source, received_at, seq, bytes);
