-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: twilio. Of messages they keep
-- nothing: what Twilio's API says of one beyond ours stands in its metadata.

-- Accounts of the Twilio-compatible API. What one may do stands with its API key.
CREATE TABLE twilio_accounts (
    sid             TEXT PRIMARY KEY,  -- AC and 32 hex digits
    key_id          TEXT NOT NULL UNIQUE REFERENCES api_keys (id) ON DELETE CASCADE,
    token           TEXT NOT NULL,     -- as it is: callbacks are signed with it
    sms_url         TEXT NOT NULL DEFAULT '', -- gets received texts; '': none are told
    status_callback TEXT NOT NULL DEFAULT '', -- of messages that name none
    modems          TEXT NOT NULL DEFAULT '', -- JSON, names and numbers: whose texts it gets; '': of all
    any_from        INTEGER NOT NULL DEFAULT 0, -- a From that is no modem's means any modem
    dedup           INTEGER NOT NULL DEFAULT 0  -- milliseconds; 0: none
) WITHOUT ROWID;

-- Further keys of an account, as "SK…" users. Their secrets sign nothing.
CREATE TABLE twilio_keys (
    sid     TEXT PRIMARY KEY,          -- SK and 32 hex digits
    account TEXT NOT NULL REFERENCES twilio_accounts (sid) ON DELETE CASCADE,
    key_id  TEXT NOT NULL UNIQUE REFERENCES api_keys (id) ON DELETE CASCADE,
    hash    BLOB NOT NULL              -- SHA-256 of the secret
) WITHOUT ROWID;
CREATE INDEX twilio_keys_account ON twilio_keys (account);

-- What accounts with a dedup window handed in within it.
CREATE TABLE twilio_recent (
    account TEXT NOT NULL REFERENCES twilio_accounts (sid) ON DELETE CASCADE,
    hash    BLOB NOT NULL,             -- keyed with the token: of recipient, sender and text
    at      INTEGER NOT NULL,
    once    TEXT NOT NULL,             -- Idempotency-Key of the first
    PRIMARY KEY (account, hash)
) WITHOUT ROWID;
