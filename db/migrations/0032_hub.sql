-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: hub.

-- The seeds of a hub's own keys: operator, account and system. Whoever has them can make
-- credentials, so they are as secret as the messages in this file.
CREATE TABLE hub_keys (
    name TEXT PRIMARY KEY,
    seed TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE gateways (
    name           TEXT PRIMARY KEY,         -- for good: it stands in subjects
    title          TEXT NOT NULL DEFAULT '',
    grp            TEXT NOT NULL DEFAULT '',
    disabled       INTEGER NOT NULL DEFAULT 0,
    epoch          INTEGER NOT NULL DEFAULT 1,
    created_at     INTEGER NOT NULL,
    seen_at        INTEGER,                  -- its last hello, about
    hello          TEXT,                     -- what it said then, JSON
    log            TEXT NOT NULL DEFAULT '', -- the life of its event log, and up to where
    seq            INTEGER NOT NULL DEFAULT 0, -- it is applied
    configuration  TEXT,                     -- what is set from here, JSON
    version        INTEGER NOT NULL DEFAULT 0, -- of it
    applied        INTEGER NOT NULL DEFAULT 0, -- the one that the gateway has
    applied_at     INTEGER,
    config_error   TEXT NOT NULL DEFAULT ''  -- why it could not apply the last one
) WITHOUT ROWID;

-- The public keys of all credentials ever made: what is revoked stays so.
CREATE TABLE gateway_credentials (
    public_key TEXT PRIMARY KEY,
    gateway    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER                       -- from when on it opens nothing
) WITHOUT ROWID;

-- What a gateway told and could not be booked, for somebody to look at.
CREATE TABLE gateway_unreadable (
    id      INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    at      INTEGER NOT NULL,
    log     TEXT NOT NULL,
    seq     INTEGER NOT NULL,
    event   BLOB NOT NULL,
    error   TEXT NOT NULL
);
CREATE INDEX gateway_unreadable_at ON gateway_unreadable (at);
