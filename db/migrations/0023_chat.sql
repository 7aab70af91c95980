-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: chat.

-- Everything exchanged with one number through one SIM. Messages are the queue's, and
-- name their conversation.
CREATE TABLE conversations (
    row             INTEGER PRIMARY KEY AUTOINCREMENT,
    id              TEXT NOT NULL UNIQUE,
    place           INTEGER NOT NULL UNIQUE,   -- in lists: the highest is the one of which something was said last
    number          TEXT NOT NULL,
    sim             TEXT NOT NULL,             -- ICCID, or the modem's name
    modem           TEXT NOT NULL,             -- that has the SIM, or had it last
    local           TEXT NOT NULL,             -- the SIM's number, else the modem's name
    name            TEXT NOT NULL DEFAULT '',
    our_name        TEXT NOT NULL DEFAULT '',
    mode            TEXT NOT NULL,             -- invite, open
    state           TEXT NOT NULL,             -- new, invited, open, idle, closed, blocked
    reason          TEXT NOT NULL DEFAULT '',  -- why it is blocked
    team            TEXT NOT NULL DEFAULT '',
    visitor         TEXT NOT NULL DEFAULT '',  -- a widget's; '': the conversation is a team's
    visitor_name    TEXT NOT NULL DEFAULT '',
    visitor_address TEXT NOT NULL DEFAULT '',
    widget          TEXT NOT NULL DEFAULT '',
    assigned_to     TEXT NOT NULL DEFAULT '',  -- a person's id
    unread          INTEGER NOT NULL DEFAULT 0,
    read_up_to      INTEGER NOT NULL DEFAULT 0,-- row of messages
    last_message    INTEGER NOT NULL DEFAULT 0,-- row of messages
    begun           TEXT NOT NULL,             -- phone, person, visitor, key
    pending         TEXT,                      -- what goes out once the phone said YES
    pending_by      TEXT,                      -- who wrote it, as JSON
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    active_at       INTEGER NOT NULL,          -- what it waits by: until it is idle, is closed, its SIM is free for all
    closed_at       INTEGER,
    deleted         INTEGER NOT NULL DEFAULT 0 -- erased; it is here while its SIM is not free for all
);
CREATE UNIQUE INDEX conversations_live ON conversations (number, sim) WHERE state <> 'closed';
CREATE INDEX conversations_number ON conversations (number);
CREATE INDEX conversations_waiting ON conversations (state, active_at);

-- What people of its owner wrote about it for each other.
CREATE TABLE conversation_notes (
    row          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    text         TEXT NOT NULL,
    author       TEXT NOT NULL,                -- id
    author_name  TEXT NOT NULL,
    at           INTEGER NOT NULL
);
CREATE INDEX conversation_notes_of ON conversation_notes (conversation, row);

-- What somebody has begun to write.
CREATE TABLE conversation_drafts (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    author       TEXT NOT NULL,                -- id of the person, key or visitor
    text         TEXT NOT NULL,
    at           INTEGER NOT NULL,
    PRIMARY KEY (conversation, author)
) WITHOUT ROWID;

-- To whom a conversation goes that a phone begins, first match first.
CREATE TABLE inbox_rules (
    position INTEGER PRIMARY KEY,
    keyword  TEXT NOT NULL,                    -- the text's first word, folded; '': any
    sim      TEXT NOT NULL,                    -- ICCID, modem or its number; '': any
    team     TEXT NOT NULL,
    person   TEXT NOT NULL                     -- id; '': nobody
);
