-- +goose Up
-- Times are Unix milliseconds; NULL: not yet or never. Owner of both tables: auth.

-- API keys. The token itself is shown once and never stored.
CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY, -- the public middle of the token
    name         TEXT NOT NULL,
    hash         BLOB NOT NULL,    -- SHA-256 of the token's secret
    scopes       TEXT NOT NULL,    -- comma-separated
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,          -- to within some minutes
    expires_at   INTEGER,
    revoked_at   INTEGER
) WITHOUT ROWID;

-- Browsers that swapped a key for a cookie. A session is worth what its key is.
CREATE TABLE sessions (
    hash       BLOB PRIMARY KEY,   -- SHA-256 of the cookie's value
    key_id     TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_key ON sessions (key_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
