-- How the events of a run stand in its body: 0 as they are, 1 as one LZ4 block.
ALTER TABLE event_run ADD COLUMN packing INTEGER NOT NULL DEFAULT 0;
