-- Which token made a token: a second person's must not come of the first one's. Absent of the token of
-- the first start.
ALTER TABLE token ADD COLUMN made_by_tenant TEXT;
ALTER TABLE token ADD COLUMN made_by TEXT;

-- The audit trail knows it of those that are there.
UPDATE token SET (made_by_tenant, made_by) = (
    SELECT audit.tenant, audit.actor FROM audit
    WHERE audit.action = 'token.create' AND audit.subject = token.name
        AND json_extract(audit.detail, '$.tenant') = token.tenant
    ORDER BY audit.sequence LIMIT 1
);
