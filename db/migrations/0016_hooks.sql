-- +goose Up
-- Owner: hooks. Times are Unix milliseconds; NULL: not yet or never.

-- Addresses that other programs post to. A token is shown once and never stored.
-- What is deleted leaves its row behind, empty, so that no backup brings its
-- token back.
CREATE TABLE hooks (
    id           TEXT PRIMARY KEY, -- hook_ and the public part of the token
    hash         BLOB NOT NULL,    -- SHA-256 of the token's secret; empty: deleted
    old_hash     BLOB,             -- of the token before
    old_until    INTEGER,          -- how long that is good
    settings     TEXT NOT NULL,    -- what its owner decided, as JSON
    secret       TEXT NOT NULL,    -- what its senders sign with; '' nothing
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    rotated_at   INTEGER,
    last_used_at INTEGER,          -- to within some minutes
    deleted_at   INTEGER
) WITHOUT ROWID;

-- What hooks were told lately, so that what is told again within their window
-- sends nothing twice. The key is an HMAC under the token: nothing can be read
-- out of it.
CREATE TABLE hook_seen (
    hook  TEXT NOT NULL,
    key   BLOB NOT NULL,
    since INTEGER NOT NULL,        -- when its window began
    PRIMARY KEY (hook, key)
) WITHOUT ROWID;
CREATE INDEX hook_seen_since ON hook_seen (since);
