-- Times are nanoseconds since 1970 (UTC). Everything belongs to a tenant.

PRAGMA application_id = 0x4C4D5354;

-- The outbox. SQLite has the one shard 0. What a group commits is one row or a few: runs of neighbouring
-- events, packed as in src/store/sqlite/run.rs. A row for each costs four times as much to write and to
-- read.
CREATE TABLE event_run (
    -- Sequences of its first and its last event.
    first  INTEGER PRIMARY KEY,
    last   INTEGER NOT NULL,
    -- Time of the newest of them, and bytes of their data.
    newest INTEGER NOT NULL,
    bytes  INTEGER NOT NULL,
    body   BLOB NOT NULL
) STRICT;

-- How far the outbox was trimmed: sequences start after it even when no event is left.
CREATE TABLE shard (
    shard   INTEGER PRIMARY KEY,
    trimmed INTEGER NOT NULL
) STRICT;
INSERT INTO shard (shard, trimmed) VALUES (0, 0);

CREATE TABLE cursor (
    name           TEXT PRIMARY KEY,
    done_shard     INTEGER NOT NULL,
    done_sequence  INTEGER NOT NULL,
    batch_shard    INTEGER,
    batch_sequence INTEGER,
    required       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE dead_letter (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    sink      TEXT NOT NULL,
    shard     INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    tenant    TEXT NOT NULL,
    device    TEXT NOT NULL,
    kind      TEXT NOT NULL,
    time      INTEGER NOT NULL,
    data      TEXT NOT NULL,
    crc32     INTEGER NOT NULL,
    reason    TEXT NOT NULL,
    parked_at INTEGER NOT NULL,
    replay_at INTEGER,
    UNIQUE (sink, shard, sequence)
) STRICT;
CREATE INDEX dead_letter_device ON dead_letter (tenant, device, sink);

CREATE TABLE customer (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Read whole and in this order when the registry is rebuilt.
CREATE TABLE device (
    tenant             TEXT NOT NULL,
    id                 TEXT NOT NULL,
    facts              TEXT NOT NULL,
    customer           TEXT,
    tags               TEXT NOT NULL DEFAULT '[]',
    created_at         INTEGER NOT NULL,
    connection_request BLOB,
    claimed            INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, id),
    FOREIGN KEY (tenant, customer) REFERENCES customer (tenant, id)
) STRICT, WITHOUT ROWID;

-- Written behind and often, so apart from the long rows.
CREATE TABLE device_seen (
    tenant  TEXT NOT NULL,
    device  TEXT NOT NULL,
    at      INTEGER NOT NULL,
    address TEXT,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE alias (
    tenant TEXT NOT NULL,
    kind   INTEGER NOT NULL,
    value  TEXT NOT NULL,
    device TEXT NOT NULL,
    PRIMARY KEY (tenant, kind, value),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE credential (
    tenant    TEXT NOT NULL,
    device    TEXT NOT NULL,
    protocol  TEXT NOT NULL,
    username  TEXT NOT NULL,
    verifier  BLOB NOT NULL,
    confirmed INTEGER NOT NULL,
    PRIMARY KEY (tenant, device, protocol),
    UNIQUE (protocol, username)
) STRICT, WITHOUT ROWID;

-- A revoked token keeps its row: its name stands in the audit trail and is not given again.
CREATE TABLE token (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    hash       BLOB NOT NULL,
    role       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE command (
    id         TEXT PRIMARY KEY,
    tenant     TEXT NOT NULL,
    device     TEXT NOT NULL,
    kind       TEXT NOT NULL,
    state      TEXT NOT NULL,
    ended      INTEGER NOT NULL,
    cause      TEXT,
    result     TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    actor      TEXT NOT NULL,
    key        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX command_device ON command (tenant, device, id);
CREATE INDEX command_open ON command (id) WHERE ended = 0;
-- For removing what is at its end, oldest first.
CREATE INDEX command_ended ON command (updated_at) WHERE ended = 1;
CREATE UNIQUE INDEX command_key ON command (tenant, key) WHERE key IS NOT NULL;

CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    tenant   TEXT NOT NULL,
    time     INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    detail   TEXT NOT NULL
) STRICT;
CREATE INDEX audit_tenant ON audit (tenant, sequence);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
