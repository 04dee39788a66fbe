-- What is remembered of how each device stands to what it should be: paths and causes, never a value,
-- some 2 KB. With row ids: the long bodies stay out of the index.
CREATE TABLE provision (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    body   TEXT NOT NULL,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) STRICT;

-- What of it a session must know before it reads anything. Beside it, so that rebuilding the registry
-- reads no body; written only where it changes, which it seldom does.
CREATE TABLE provision_mark (
    tenant   TEXT NOT NULL,
    device   TEXT NOT NULL,
    -- Numbered as in src/store/provision.rs.
    standing INTEGER NOT NULL,
    -- What its profiles say is peculiar about it: bits as in src/quirks.rs.
    quirks   INTEGER NOT NULL,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
