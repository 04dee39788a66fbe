-- Water points: what is said of one, as a document beside what it is found by.
CREATE TABLE water_site (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    version    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    nickname   TEXT NOT NULL,
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, nickname)
) STRICT, WITHOUT ROWID;

-- Who gives out water: a row for each of his sites. An id has one number, a number one id.
CREATE TABLE water_manager (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    site     TEXT NOT NULL,
    number   TEXT NOT NULL,
    language TEXT NOT NULL,
    PRIMARY KEY (tenant, id, site)
) STRICT, WITHOUT ROWID;
CREATE INDEX water_manager_number ON water_manager (tenant, number);
CREATE INDEX water_manager_site ON water_manager (tenant, site);

-- Who collects it. Days are texts such as 2026-11-22, which sort as they follow each other.
CREATE TABLE water_customer (
    tenant        TEXT NOT NULL,
    id            TEXT NOT NULL,
    version       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    changed_at    INTEGER NOT NULL,
    site          TEXT NOT NULL,
    number        TEXT NOT NULL,
    first_name    TEXT NOT NULL,
    last_name     TEXT NOT NULL,
    language      TEXT NOT NULL,
    valid         INTEGER NOT NULL,
    expires_on    TEXT NOT NULL,
    code          TEXT,
    jerrycans     INTEGER NOT NULL,
    reminded_for  TEXT,
    last_checkout TEXT,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, number)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX water_customer_code ON water_customer (tenant, code) WHERE valid = 1;
CREATE INDEX water_customer_due ON water_customer (tenant, site, expires_on) WHERE valid = 1;
CREATE INDEX water_customer_site ON water_customer (tenant, site, id);

-- What a customer's or a manager's PIN is compared with.
CREATE TABLE water_pin (
    tenant TEXT NOT NULL,
    owner  TEXT NOT NULL,
    mac    BLOB NOT NULL,
    PRIMARY KEY (tenant, owner)
) STRICT, WITHOUT ROWID;

-- Wrong PINs in a row, over all dialogues; `last_key` is the key press that was counted last.
CREATE TABLE water_try (
    tenant   TEXT NOT NULL,
    who      TEXT NOT NULL,
    purpose  TEXT NOT NULL,
    tries    INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    last_key TEXT NOT NULL,
    PRIMARY KEY (tenant, who, purpose)
) STRICT, WITHOUT ROWID;

-- Which SIM a number was last seen with, as a hash, and when that changed.
CREATE TABLE water_number (
    tenant     TEXT NOT NULL,
    number     TEXT NOT NULL,
    imsi       BLOB NOT NULL,
    changed_at INTEGER,
    PRIMARY KEY (tenant, number)
) STRICT, WITHOUT ROWID;

-- What happened to customers. The key of a message's is the message's own.
CREATE TABLE water_transaction (
    sequence   INTEGER PRIMARY KEY,
    tenant     TEXT NOT NULL,
    key        TEXT NOT NULL,
    number     TEXT NOT NULL,
    full_name  TEXT NOT NULL,
    site       TEXT NOT NULL,
    site_name  TEXT NOT NULL,
    action     TEXT NOT NULL,
    status     TEXT NOT NULL,
    count      INTEGER NOT NULL,
    item       TEXT NOT NULL,
    at         INTEGER NOT NULL,
    keep_until INTEGER NOT NULL,
    UNIQUE (tenant, key)
) STRICT;
CREATE INDEX water_transaction_number ON water_transaction (tenant, number, sequence);
CREATE INDEX water_transaction_site ON water_transaction (tenant, site, sequence);
CREATE INDEX water_transaction_old ON water_transaction (keep_until);

-- Which days' jobs are done.
CREATE TABLE water_job (
    tenant TEXT NOT NULL,
    job    TEXT NOT NULL,
    day    TEXT NOT NULL,
    PRIMARY KEY (tenant, job, day)
) STRICT, WITHOUT ROWID;

-- Phrases that an operator changed, over those of the menu's own files.
CREATE TABLE phrase (
    tenant   TEXT NOT NULL,
    menu     TEXT NOT NULL,
    language TEXT NOT NULL,
    key      TEXT NOT NULL,
    text     TEXT NOT NULL,
    PRIMARY KEY (tenant, menu, language, key)
) STRICT, WITHOUT ROWID;
