-- Boards that left and may be back before anyone is told: what will be told otherwise.
CREATE TABLE mqtt_absence (
    tenant  TEXT NOT NULL,
    device  TEXT NOT NULL,
    left_at INTEGER NOT NULL,
    data    TEXT NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;
