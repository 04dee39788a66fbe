-- What the business keeps for equipment, under the one spelling of its name: the serial in CWMP, the
-- GPON serial or the MAC, whichever was known first. The document is sealed.
CREATE TABLE equipment (
    tenant       TEXT NOT NULL,
    serial       TEXT NOT NULL,
    version      INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL,
    status       TEXT NOT NULL,
    activated_at INTEGER,
    address      TEXT,
    firmware     TEXT,
    body         BLOB NOT NULL,
    PRIMARY KEY (tenant, serial)
) STRICT, WITHOUT ROWID;

-- Which device is given the secrets of a serial: one. Two boxes that say the same serial are a copy
-- and its original, and nobody knows which is which.
CREATE TABLE equipment_holder (
    tenant TEXT NOT NULL,
    serial TEXT NOT NULL,
    device TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, serial)
) STRICT, WITHOUT ROWID;

-- What the hub said last of a device, sealed, and under which name it knows it.
CREATE TABLE hub_answer (
    tenant     TEXT NOT NULL,
    device     TEXT NOT NULL,
    serial     TEXT NOT NULL,
    etag       TEXT,
    fetched_at INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;

-- What a customer changed of his radio networks, sealed, until the hub's own word on them changes:
-- `basis` is what that was.
CREATE TABLE wifi_overlay (
    tenant     TEXT NOT NULL,
    device     TEXT NOT NULL,
    basis      INTEGER,
    changed_at INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;

-- What is to be done later, and must be done once: made in the transaction of what caused it. One that
-- is done keeps its row for a while, so that its key is not taken twice.
CREATE TABLE task (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    key         TEXT NOT NULL,
    device      TEXT,
    body        TEXT NOT NULL,
    state       TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    lease_until INTEGER,
    attempts    INTEGER NOT NULL,
    cause       TEXT,
    UNIQUE (tenant, kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX task_waiting ON task (due_at) WHERE state = 'waiting';
CREATE INDEX task_done ON task (changed_at) WHERE state = 'done';
CREATE INDEX task_tenant ON task (tenant, state, id);
