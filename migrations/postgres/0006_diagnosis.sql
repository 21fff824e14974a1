-- What was found out about a refused request: how far its timestamp was off, its headers without credentials, and a diagnosis, if there
-- is one: its code, what was found, and what to do next.
ALTER TABLE requests ADD COLUMN skew_ms bigint;
ALTER TABLE requests ADD COLUMN headers bytea;
ALTER TABLE requests ADD COLUMN diagnosis text;
ALTER TABLE requests ADD COLUMN finding text;
ALTER TABLE requests ADD COLUMN advice text;
