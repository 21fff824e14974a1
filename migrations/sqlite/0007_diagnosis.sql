-- What was found out about a refused request: how far its timestamp was off, its headers without credentials, and a diagnosis, if there
-- is one: its code, what was found, and what to do next.
ALTER TABLE requests ADD COLUMN skew_ms INTEGER;
ALTER TABLE requests ADD COLUMN headers BLOB;
ALTER TABLE requests ADD COLUMN diagnosis TEXT;
ALTER TABLE requests ADD COLUMN finding TEXT;
ALTER TABLE requests ADD COLUMN advice TEXT;
