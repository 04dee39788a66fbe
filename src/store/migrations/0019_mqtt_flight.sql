-- What of a session is on its way: short, and written with every packet, so that what it subscribes to,
-- which is long, is not.
CREATE TABLE mqtt_flight (
    session INTEGER PRIMARY KEY,
    state   TEXT NOT NULL
) STRICT;

-- Who published what is retained, so that one has a share of it and no more.
ALTER TABLE mqtt_retained ADD COLUMN owner TEXT;
