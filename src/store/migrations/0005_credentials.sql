-- A device has up to two credentials in a protocol: the one that it uses (confirmed), and one that
-- it was given and has not used yet. When it uses that, the other goes.
CREATE TABLE credential_pair (
    tenant    TEXT NOT NULL,
    device    TEXT NOT NULL,
    protocol  TEXT NOT NULL,
    username  TEXT NOT NULL,
    verifier  BLOB NOT NULL,
    confirmed INTEGER NOT NULL,
    -- The password, sealed, while we are to put it on the device ourselves.
    push      BLOB,
    PRIMARY KEY (tenant, device, protocol, confirmed),
    UNIQUE (protocol, username, confirmed)
) STRICT, WITHOUT ROWID;
INSERT INTO credential_pair (tenant, device, protocol, username, verifier, confirmed)
    SELECT tenant, device, protocol, username, verifier, confirmed FROM credential;
DROP TABLE credential;
ALTER TABLE credential_pair RENAME TO credential;
