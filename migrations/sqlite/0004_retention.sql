-- Whether an event still has a live job is asked before it is forgotten, and whenever it is shown.
CREATE INDEX jobs_by_event ON jobs (event_seq);
