-- Several batches are prepared in one commit: their ends, rising, in decimal between commas. They are of
-- the shard of the cursor.
ALTER TABLE cursor ADD COLUMN batch_ends TEXT NOT NULL DEFAULT '';
UPDATE cursor SET batch_ends = CAST(batch_sequence AS TEXT) WHERE batch_sequence IS NOT NULL;
ALTER TABLE cursor DROP COLUMN batch_shard;
ALTER TABLE cursor DROP COLUMN batch_sequence;
