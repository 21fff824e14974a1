-- Every version of a plugin that some node has loaded, and which of them every node runs.
CREATE TABLE plugins (
    name         text   NOT NULL,
    digest       bytea  NOT NULL CHECK (length(digest) = 32),
    wasm         bytea  NOT NULL,
    published_at bigint NOT NULL,
    published_by uuid   NOT NULL,
    PRIMARY KEY (name, digest)
);
ALTER TABLE plugins ALTER COLUMN wasm SET STORAGE EXTERNAL;

CREATE TABLE live_plugins (
    name   text   PRIMARY KEY,
    digest bytea  NOT NULL,
    since  bigint NOT NULL,
    FOREIGN KEY (name, digest) REFERENCES plugins (name, digest)
);
