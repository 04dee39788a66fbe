-- How the fleet is steered. The profiles as files: the set that is settled, the candidate that is on
-- trial, the one that was taken back last.
CREATE TABLE profile_set (
    role  TEXT PRIMARY KEY,
    -- Revision, who loaded it, since when, how its trial stands: JSON.
    about TEXT NOT NULL,
    -- The texts, compressed and sealed: an operator may have written a secret into one.
    files BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- How each device of the trial fared with the candidate.
CREATE TABLE trial_outcome (
    tenant TEXT NOT NULL,
    device TEXT NOT NULL,
    failed INTEGER NOT NULL,
    PRIMARY KEY (tenant, device)
) STRICT, WITHOUT ROWID;

-- What must not be written to: all devices, a tenant's, a model's.
CREATE TABLE hold (
    id         TEXT PRIMARY KEY,
    -- Who made it; `tenant` and `model` are what it is for.
    owner      TEXT NOT NULL,
    tenant     TEXT,
    model      TEXT,
    reason     TEXT NOT NULL,
    actor      TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How many devices of a tenant were changed in its present hour, and who must agree to more.
CREATE TABLE change_hour (
    tenant   TEXT PRIMARY KEY,
    began_at INTEGER NOT NULL,
    changed  INTEGER NOT NULL,
    -- JSON; absent while nothing waits.
    approval TEXT
) STRICT, WITHOUT ROWID;
