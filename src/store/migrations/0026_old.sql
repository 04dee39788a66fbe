-- What is found by its age when it need not be kept any longer, and payments that somebody has to go on
-- with.
CREATE INDEX payment_old ON payment (changed_at) WHERE state IN ('paid', 'declined');
CREATE INDEX payment_pending ON payment (tenant, id)
    WHERE state = 'draft' OR json_extract(body, '$.check') IS NOT NULL;
CREATE INDEX payment_stray_old ON payment_stray (time) WHERE payment IS NULL;
CREATE INDEX water_try_since ON water_try (since);

-- When a number was last seen, to a day.
ALTER TABLE water_number ADD COLUMN seen_at INTEGER NOT NULL DEFAULT 0;
UPDATE water_number SET seen_at = unixepoch() * 1000000000;
CREATE INDEX water_number_seen ON water_number (seen_at);
