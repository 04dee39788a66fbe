-- Payments by a prompt on the payer's phone. There is one account at the provider, whoever's the
-- payment is: his names of prompts and receipts are each of one payment.
CREATE TABLE payment (
    tenant     TEXT NOT NULL,
    id         TEXT NOT NULL,
    -- Counts the steps: who changes a row says which version he saw.
    version    INTEGER NOT NULL,
    state      TEXT NOT NULL,
    customer   TEXT NOT NULL,
    number     TEXT NOT NULL,
    amount     INTEGER NOT NULL,
    reference  TEXT NOT NULL,
    language   TEXT NOT NULL,
    -- What makes asking twice the same as asking once.
    key        TEXT NOT NULL,
    checkout   TEXT,
    receipt    TEXT,
    hold_until INTEGER,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    -- All of it, as the machine keeps it; the columns above repeat what is looked for.
    body       TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX payment_key ON payment (tenant, key);
CREATE UNIQUE INDEX payment_checkout ON payment (checkout) WHERE checkout IS NOT NULL;
CREATE UNIQUE INDEX payment_receipt ON payment (receipt) WHERE receipt IS NOT NULL;
-- Two prompts for one customer are impossible, not only unlikely.
CREATE UNIQUE INDEX payment_open ON payment (tenant, customer)
    WHERE state IN ('draft', 'requesting', 'prompted');
CREATE INDEX payment_unresolved ON payment (tenant, customer, hold_until)
    WHERE state = 'unresolved';
-- Whose prompt a callback may tell of that names none of ours.
CREATE INDEX payment_nameless ON payment (number, amount)
    WHERE state IN ('requesting', 'unresolved');
CREATE INDEX payment_state ON payment (tenant, state, id);

-- What happened to each, in words and codes.
CREATE TABLE payment_step (
    tenant  TEXT NOT NULL,
    payment TEXT NOT NULL,
    version INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    what    TEXT NOT NULL,
    state   TEXT NOT NULL,
    detail  TEXT,
    PRIMARY KEY (tenant, payment, version)
) STRICT, WITHOUT ROWID;

-- What was said of a prompt and fits nothing, or not what is known: for the operator.
CREATE TABLE payment_stray (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       TEXT NOT NULL,
    -- The payment that it came to, if any.
    payment      TEXT,
    time         INTEGER NOT NULL,
    checkout     TEXT NOT NULL,
    code         INTEGER,
    amount_cents INTEGER,
    number       TEXT,
    receipt      TEXT
) STRICT;
CREATE INDEX payment_stray_checkout ON payment_stray (checkout);
CREATE INDEX payment_stray_number ON payment_stray (number, amount_cents);
CREATE INDEX payment_stray_payment ON payment_stray (tenant, payment);
