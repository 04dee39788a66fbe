-- The catalogue of images, and what devices have sent. The bytes are files under the data
-- directory, called by `file` and `id`: never by a name that someone chose.

CREATE TABLE image (
    tenant     TEXT NOT NULL,
    name       TEXT NOT NULL,
    model      TEXT,
    version    TEXT,
    file_type  TEXT NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    file       TEXT NOT NULL UNIQUE,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload (
    id          TEXT PRIMARY KEY,
    tenant      TEXT NOT NULL,
    device      TEXT NOT NULL,
    command     TEXT NOT NULL,
    file_type   TEXT NOT NULL,
    name        TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    sha256      BLOB NOT NULL,
    received_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_device ON upload (tenant, device, id);
