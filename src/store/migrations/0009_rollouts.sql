-- Who signed an image's content, where that was given.
ALTER TABLE image ADD COLUMN signature BLOB;

-- The one group that a device is in: what is wanted of it is wanted of all of them.
ALTER TABLE device ADD COLUMN device_group TEXT;

-- An image on its way to many devices. What was ordered does not change; `progress` and `tallies`
-- are written with the steps that change them.
CREATE TABLE rollout (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT,
    actor    TEXT NOT NULL,
    key      TEXT,
    source   TEXT NOT NULL,
    ordered  TEXT NOT NULL,
    time     TEXT,
    progress TEXT NOT NULL,
    tallies  TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX rollout_key ON rollout (tenant, key) WHERE key IS NOT NULL;

-- How each of its devices stands. Written before the rollout is: rows without one were left behind by
-- a crash.
CREATE TABLE rollout_device (
    tenant         TEXT NOT NULL,
    rollout        TEXT NOT NULL,
    device         TEXT NOT NULL,
    wave           INTEGER NOT NULL,
    stage          TEXT NOT NULL,
    tries          INTEGER NOT NULL,
    failures       INTEGER NOT NULL,
    since          INTEGER NOT NULL,
    not_before     INTEGER,
    due_at         INTEGER,
    failed_at      INTEGER,
    version_before TEXT,
    cause          TEXT,
    PRIMARY KEY (tenant, rollout, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_device_stage ON rollout_device (tenant, rollout, stage, device);

-- What each device went through, step by step.
CREATE TABLE firmware_step (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant  TEXT NOT NULL,
    device  TEXT NOT NULL,
    rollout TEXT NOT NULL,
    image   TEXT NOT NULL,
    version TEXT NOT NULL,
    try     INTEGER NOT NULL,
    stage   TEXT NOT NULL,
    cause   TEXT,
    time    INTEGER NOT NULL
) STRICT;
CREATE INDEX firmware_step_device ON firmware_step (tenant, device, id);
CREATE INDEX firmware_step_time ON firmware_step (time);

-- What the devices of a group should run.
CREATE TABLE group_firmware (
    tenant       TEXT NOT NULL,
    device_group TEXT NOT NULL,
    image        TEXT,
    version      TEXT,
    time         TEXT,
    actor        TEXT NOT NULL,
    since        INTEGER NOT NULL,
    PRIMARY KEY (tenant, device_group)
) STRICT, WITHOUT ROWID;
