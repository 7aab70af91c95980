-- +goose Up
-- What a key may do beside its scopes. NULL: no limit. Owner of the table: auth.
ALTER TABLE api_keys ADD COLUMN principal TEXT NOT NULL DEFAULT ''; -- the id of the key that it is the successor of, in the end; it stays when keys are rotated
ALTER TABLE api_keys ADD COLUMN rate INTEGER;                       -- messages a minute
ALTER TABLE api_keys ADD COLUMN burst INTEGER;                      -- of them at once; NULL: a minute's
ALTER TABLE api_keys ADD COLUMN quota INTEGER;                      -- messages a day
ALTER TABLE api_keys ADD COLUMN allow TEXT NOT NULL DEFAULT '';     -- destinations, comma-separated; '': all
ALTER TABLE api_keys ADD COLUMN premium INTEGER NOT NULL DEFAULT 0; -- 1: numbers that cost extra too
UPDATE api_keys SET principal = id;

-- Messages that were accepted for keys with a quota, by day of the calendar.
CREATE TABLE key_days (
    principal TEXT NOT NULL,
    day       INTEGER NOT NULL, -- 20261122, in the gateway's time zone
    messages  INTEGER NOT NULL,
    PRIMARY KEY (principal, day)
) WITHOUT ROWID;
