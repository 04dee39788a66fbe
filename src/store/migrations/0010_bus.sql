-- How many events a reader that the outbox does not wait for has passed over.
ALTER TABLE cursor ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
