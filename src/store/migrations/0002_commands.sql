-- A command that failed for what may pass is tried again: after a first pause in seconds, which
-- doubles. `attempts` counts how often it was sent, `retry_at` is when it may be sent next.
ALTER TABLE command ADD COLUMN retry_s INTEGER;
ALTER TABLE command ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE command ADD COLUMN retry_at INTEGER;
