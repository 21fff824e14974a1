-- Whose jobs are taken over, or given back, is asked by owner.
CREATE INDEX jobs_running ON jobs (owner) WHERE state = 'running';
