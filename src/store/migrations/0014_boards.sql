-- What is kept of each board of the service that inspects, ships and takes them back. `version` counts
-- the writes: who changes a row says which version he saw.
CREATE TABLE board (
    tenant        TEXT NOT NULL,
    device        TEXT NOT NULL,
    version       INTEGER NOT NULL,
    -- 0 in stock to 4 cancelled; NULL before an inspection.
    status        INTEGER,
    -- When it came to it.
    since         INTEGER,
    -- The SIM that it is bound to, and whether the network said so.
    imsi          TEXT,
    imsi_trusted  INTEGER NOT NULL,
    -- The SIM that was ordered for it.
    expected_imsi TEXT,
    sketch_ver    TEXT,
    trouble       INTEGER NOT NULL,
    -- In SORACOM's words.
    sim_status    TEXT,
    -- What disagreed last and was told of: said again, it is no news.
    disagreement  TEXT,
    PRIMARY KEY (tenant, device),
    FOREIGN KEY (tenant, device) REFERENCES device (tenant, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Those whom a message may move, for the start: few beside those in stock and in use.
CREATE INDEX board_moving ON board (status) WHERE status IN (1, 2);

-- Every move, for as long as the board is known.
CREATE TABLE board_step (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant   TEXT NOT NULL,
    device   TEXT NOT NULL,
    old      INTEGER,
    new      INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    -- The name of the token, where the console moved it.
    by_name  TEXT,
    -- What it was moved on.
    evidence TEXT,
    time     INTEGER NOT NULL
) STRICT;
CREATE INDEX board_step_device ON board_step (tenant, device, id);
