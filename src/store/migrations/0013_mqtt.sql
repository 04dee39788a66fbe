-- What outlives an MQTT connection. `left_at` is NULL while it is connected; `expiry_s` seconds later
-- it ends, at 4294967295 never. Numbers are given once: what is in the queue of a session that ended
-- is never another's.
CREATE TABLE mqtt_session (
    number    INTEGER PRIMARY KEY,
    tenant    TEXT NOT NULL,
    owner     TEXT NOT NULL,
    client_id TEXT NOT NULL,
    state     TEXT NOT NULL,
    expiry_s  INTEGER NOT NULL,
    left_at   INTEGER,
    will      TEXT,
    will_at   INTEGER,
    UNIQUE (tenant, owner, client_id)
) STRICT;

-- What waits for a board's acknowledgement. `through` is the shared subscription that it came by.
CREATE TABLE mqtt_queue (
    session    INTEGER NOT NULL,
    key        INTEGER NOT NULL,
    through    TEXT,
    is_own     INTEGER NOT NULL,
    queued_at  INTEGER NOT NULL,
    topic      TEXT NOT NULL,
    payload    BLOB NOT NULL,
    qos        INTEGER NOT NULL,
    retain     INTEGER NOT NULL,
    properties BLOB NOT NULL,
    publisher  TEXT,
    expires_at INTEGER,
    PRIMARY KEY (session, key)
) STRICT, WITHOUT ROWID;

-- The last message of each topic that was published to stay.
CREATE TABLE mqtt_retained (
    tenant     TEXT NOT NULL,
    topic      TEXT NOT NULL,
    key        INTEGER NOT NULL,
    payload    BLOB NOT NULL,
    qos        INTEGER NOT NULL,
    properties BLOB NOT NULL,
    publisher  TEXT,
    expires_at INTEGER,
    PRIMARY KEY (tenant, topic)
) STRICT, WITHOUT ROWID;
