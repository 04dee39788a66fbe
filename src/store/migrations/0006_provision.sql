-- How each device stands to what it should be, and what is remembered of it until its next session:
-- paths and causes, never a value.
CREATE TABLE provision (
    tenant         TEXT NOT NULL,
    device         TEXT NOT NULL,
    -- Numbered as in src/store/provision.rs.
    standing       INTEGER NOT NULL,
    -- Before when nothing need be done by itself.
    due_at         INTEGER,
    -- The version of the values that it was made from: 64 bits, kept as a signed number.
    values_version INTEGER NOT NULL,
    -- What its profiles say is peculiar about it: bits as in src/quirks.rs.
    quirks         INTEGER NOT NULL,
    -- Whether something waits for its equipment's claim alone.
    awaits_claim   INTEGER NOT NULL,
    body           TEXT NOT NULL,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
