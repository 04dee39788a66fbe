-- What is known of each device's data model: compressed and sealed, some 10 KB, written whole when
-- a device taught something new. With row ids: the long bodies stay out of the index.
CREATE TABLE data_model (
    tenant     TEXT NOT NULL,
    device     TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) STRICT;

-- How much of it is kept: 0 nothing, 1 a part, 2 the whole. Beside the device, so that rebuilding
-- the registry reads nothing more than it did.
ALTER TABLE device ADD COLUMN data_model INTEGER NOT NULL DEFAULT 0;
