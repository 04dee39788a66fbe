-- What effects of menus were answered, for an hour: a caller whose answer was lost in a crash hears it
-- again, and the same key has no second effect. The answer is sealed: it may hold a name or a code.
CREATE TABLE ussd_effect (
    tenant  TEXT NOT NULL,
    key     TEXT NOT NULL,
    device  TEXT NOT NULL,
    answer  BLOB NOT NULL,
    made_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX ussd_effect_made_at ON ussd_effect (made_at);
