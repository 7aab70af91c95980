-- +goose Up
-- Owner of all tables: widget. Times are Unix milliseconds; NULL: not yet or never.

-- Chats on other people's web sites. The key stands in their pages, for everybody to
-- read: it tells widgets apart and can be changed, but proves nothing. What is deleted
-- leaves its row behind, so that no backup brings it back.
CREATE TABLE widgets (
    id         TEXT PRIMARY KEY,     -- wgt_ and a ULID
    key        TEXT NOT NULL,
    old_key    TEXT NOT NULL DEFAULT '',
    old_until  INTEGER,              -- how long that is good
    version    INTEGER NOT NULL,     -- the newest of its versions
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    rotated_at INTEGER,
    deleted_at INTEGER
) WITHOUT ROWID;

-- What a widget was like from a time on, as JSON. The widget '' is what all have in common.
CREATE TABLE widget_versions (
    widget   TEXT NOT NULL,
    version  INTEGER NOT NULL,
    settings TEXT NOT NULL,
    by_id    TEXT NOT NULL,          -- of the person or the API key that made it
    by_name  TEXT NOT NULL,
    origin   INTEGER,                -- the version that it brings back
    at       INTEGER NOT NULL,
    PRIMARY KEY (widget, version)
) WITHOUT ROWID;

-- Pictures, as they were drawn anew here. The id is made of what is in it.
CREATE TABLE widget_images (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    type       TEXT NOT NULL,
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    data       BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- Strangers who wrote in a widget. Of their token only the hash is kept.
CREATE TABLE widget_visitors (
    id           TEXT PRIMARY KEY,   -- vis_ and a ULID
    widget       TEXT NOT NULL,
    hash         BLOB NOT NULL,
    name         TEXT NOT NULL,
    number       TEXT NOT NULL,      -- whom they write with now
    conversation TEXT NOT NULL,      -- the one that they have open
    address      TEXT NOT NULL,      -- the network address that they came from last
    site         TEXT NOT NULL,      -- the origin of the page that they came from
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX widget_visitors_hash ON widget_visitors (hash) WHERE hash <> x'';
CREATE INDEX widget_visitors_number ON widget_visitors (number);
CREATE INDEX widget_visitors_made ON widget_visitors (created_at);

-- The conversations that visitors began, and the terms that they accepted each time.
CREATE TABLE widget_starts (
    seq          INTEGER PRIMARY KEY,
    visitor      TEXT NOT NULL,
    conversation TEXT NOT NULL,      -- '': none came of it
    number       TEXT NOT NULL,
    terms        INTEGER,            -- the version of the widget whose terms were accepted; NULL: it has none
    address      TEXT NOT NULL,
    at           INTEGER NOT NULL
);
CREATE INDEX widget_starts_visitor ON widget_starts (visitor);
CREATE INDEX widget_starts_number ON widget_starts (number);
