-- +goose Up
-- Owner of all tables: inbox. Times are Unix milliseconds; NULL: not yet or never.

-- People whose number was verified by a texted code.
CREATE TABLE inbox_people (
    number     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL    -- was here last, to the day
) WITHOUT ROWID;

-- Where they are signed in. Of the cookie only the hash is kept.
CREATE TABLE inbox_sessions (
    hash       BLOB PRIMARY KEY,
    number     TEXT NOT NULL,
    browser    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX inbox_sessions_number ON inbox_sessions (number);

-- What a person has with one sender: at a gateway, or at the hub itself ('').
CREATE TABLE inbox_threads (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    number  TEXT NOT NULL,
    gateway TEXT NOT NULL,
    name    TEXT NOT NULL,
    newest  INTEGER NOT NULL,      -- seq of its last message
    UNIQUE (number, gateway, name)
);

-- The messages. Subject, text and files (JSON) are NULL once they are erased.
CREATE TABLE inbox_messages (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    thread    INTEGER NOT NULL,
    number    TEXT NOT NULL,
    mine      INTEGER NOT NULL,    -- the inbox's owner wrote it
    by_sms    INTEGER NOT NULL,    -- it went by SMS; this is its copy
    subject   TEXT,
    text      TEXT,
    files     TEXT,
    at        INTEGER NOT NULL,    -- when it was written
    stored_at INTEGER NOT NULL,
    read_at   INTEGER,
    client_id TEXT                 -- by which the browser tells its repetitions
);
CREATE INDEX inbox_messages_thread ON inbox_messages (thread, seq);
CREATE INDEX inbox_messages_number ON inbox_messages (number, seq);
CREATE INDEX inbox_messages_unread ON inbox_messages (thread) WHERE read_at IS NULL AND mine = 0;
CREATE INDEX inbox_messages_files ON inbox_messages (seq) WHERE files IS NOT NULL;
CREATE INDEX inbox_messages_stored ON inbox_messages (stored_at);
CREATE UNIQUE INDEX inbox_messages_client ON inbox_messages (number, client_id) WHERE client_id IS NOT NULL;

-- What became of each message that was to reach an inbox, for ever: its repetition
-- changes nothing and gets the same answer. A row says nothing of anybody.
CREATE TABLE inbox_given (
    id   TEXT PRIMARY KEY,
    copy TEXT NOT NULL
) WITHOUT ROWID;

-- Files that a number without an inbox has a link to, in an SMS.
CREATE TABLE inbox_links (
    file   TEXT NOT NULL,
    number TEXT NOT NULL,
    PRIMARY KEY (file, number)
) WITHOUT ROWID;
CREATE INDEX inbox_links_number ON inbox_links (number);
