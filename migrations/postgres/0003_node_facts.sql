-- What each node says of itself when it renews its lease, so that skew between nodes can be seen.
ALTER TABLE nodes ADD COLUMN role text NOT NULL DEFAULT 'all';
ALTER TABLE nodes ADD COLUMN running integer NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN configuration text NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN plugins text NOT NULL DEFAULT '{}';
