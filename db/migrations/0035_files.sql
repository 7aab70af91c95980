-- +goose Up
-- Owner of all tables: files. Times are Unix milliseconds.

-- Files that go with messages. What is in them lies in data_dir/files under their id,
-- which can't be guessed: it is what their links are made of.
CREATE TABLE stored_files (
    id         TEXT PRIMARY KEY,
    source     TEXT NOT NULL,              -- who gave it: '' this machine, a gateway, or an inbox
    name       TEXT NOT NULL,
    type       TEXT NOT NULL,              -- as it looks, once it is whole
    size       INTEGER NOT NULL,           -- when it is whole
    received   INTEGER NOT NULL,           -- how much of it is on disk for good
    doubtful   INTEGER NOT NULL DEFAULT 0, -- a message that it went with was erased: perhaps nobody has it any more
    created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX stored_files_age ON stored_files (created_at);
CREATE INDEX stored_files_doubtful ON stored_files (id) WHERE doubtful = 1;
