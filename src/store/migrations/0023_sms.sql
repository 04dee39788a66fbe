-- Texts to phones. Each has a key: asked for twice it is there once. `batch` is the key of the task that
-- sends it, which one call may do for many.
CREATE TABLE sms (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    key         TEXT NOT NULL,
    batch       TEXT NOT NULL,
    number      TEXT NOT NULL,
    kind        TEXT NOT NULL,
    broadcast   TEXT,
    -- queued, sending, unknown, sent, delivered, failed.
    state       TEXT NOT NULL,
    cause       TEXT,
    provider_id TEXT,
    -- Whether what became of it is in an event and in the records that hang on it.
    told        INTEGER NOT NULL,
    made_at     INTEGER NOT NULL,
    changed_at  INTEGER NOT NULL,
    -- The text, sealed.
    body        BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX sms_key ON sms (tenant, key);
CREATE INDEX sms_batch ON sms (tenant, batch, id);
CREATE INDEX sms_broadcast ON sms (tenant, broadcast, id) WHERE broadcast IS NOT NULL;
-- A report names the provider's id; one of a text whose answer was lost names its number alone.
CREATE INDEX sms_provider_id ON sms (provider_id) WHERE provider_id IS NOT NULL;
CREATE INDEX sms_number ON sms (number, state);
CREATE INDEX sms_changed ON sms (changed_at);

-- Who wants no texts that are not answers.
CREATE TABLE sms_opt_out (
    tenant TEXT NOT NULL,
    number TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

-- One text to many. `cursor` is the last listener for whom it was queued.
CREATE TABLE broadcast (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    -- What makes asking twice the same as asking once.
    key        TEXT,
    audience   TEXT NOT NULL,
    site       TEXT,
    -- running, done, cancelled.
    state      TEXT NOT NULL,
    cursor     TEXT,
    page       INTEGER NOT NULL,
    listeners  INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    made_at    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    body       BLOB NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT;
CREATE UNIQUE INDEX broadcast_key ON broadcast (tenant, key) WHERE key IS NOT NULL;
CREATE INDEX broadcast_changed ON broadcast (changed_at);
