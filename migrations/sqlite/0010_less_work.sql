-- SQLite looks a value up in a list of more than two by making a table of the list, anew for each row that is written: a third of what an
-- insert into `jobs` cost. The same said without a list. Only the text of the checks changes, no row and no page of the tables, so it is
-- changed in place (https://sqlite.org/lang_altertable.html, section 7). Other connections notice because the tables that are made and
-- dropped below change the schema's version; without them it would have to be raised here. A text that is not found is left as it is, and
-- such a table is only slower.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'state IN (''ready'', ''running'', ''waiting'', ''parked'')',
    'state = ''ready'' OR state = ''running'' OR state = ''waiting'' OR state = ''parked''') WHERE type = 'table' AND name = 'jobs';
UPDATE sqlite_schema SET sql = replace(sql, 'outcome IN (''done'', ''retry'', ''discarded'', ''dead'', ''parked'')',
    'outcome = ''done'' OR outcome = ''retry'' OR outcome = ''discarded'' OR outcome = ''dead'' OR outcome = ''parked''')
    WHERE type = 'table' AND name = 'attempts';
UPDATE sqlite_schema SET sql = replace(sql, 'state IN (''forgotten'', ''begun'', ''recorded'')',
    'state = ''recorded'' OR state = ''begun'' OR state = ''forgotten''') WHERE type = 'table' AND name = 'steps';
PRAGMA writable_schema = RESET;

-- The dedupe window as it must survive a restart: one row for all keys of a transaction that expire together, of each its hash (16 bytes),
-- the first 8 bytes of its body's and its event's id (16). Only appended to and pruned.
CREATE TABLE dedupe_log (
    seq        INTEGER PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    keys       BLOB    NOT NULL CHECK (length(keys) > 0 AND length(keys) % 40 = 0)
) STRICT;
INSERT INTO dedupe_log (seq, expires_at, keys)
    SELECT seq, expires_at, CAST(hash || body_hash || event_id AS BLOB) FROM dedupe_keys ORDER BY seq;
DROP TABLE dedupe_keys;
-- What has expired of the keys past the bound is found, and not looked for among all.
CREATE INDEX dedupe_overflow_expiring ON dedupe_overflow (expires_at);
