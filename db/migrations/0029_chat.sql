-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: chat.

-- Whoever wrote by chat: people, visitors and API keys, and what several visitors have
-- in common, their network address and their widget. How many messages the limits of
-- each have counted stands in its row: since when, and how many.
CREATE TABLE chat_senders (
    id         TEXT PRIMARY KEY,           -- of the person, visitor, API key or widget; addr_ and an address or the first of a /64
    kind       TEXT NOT NULL,              -- person, visitor, key, address, widget
    name       TEXT NOT NULL DEFAULT '',   -- as the recipients were told it last
    address    TEXT NOT NULL DEFAULT '',   -- that it wrote from last
    widget     TEXT NOT NULL DEFAULT '',   -- that it wrote in last
    first_at   INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    minute_at  INTEGER NOT NULL DEFAULT 0,
    in_minute  INTEGER NOT NULL DEFAULT 0,
    hour_at    INTEGER NOT NULL DEFAULT 0,
    in_hour    INTEGER NOT NULL DEFAULT 0,
    day_at     INTEGER NOT NULL DEFAULT 0,
    in_day     INTEGER NOT NULL DEFAULT 0,
    passed_at  INTEGER NOT NULL DEFAULT 0, -- a visitor: it solved a puzzle
    recent     TEXT NOT NULL DEFAULT '',   -- a visitor: when it wrote since then, the last few
    opened_at  INTEGER NOT NULL DEFAULT 0, -- answers before do not count
    blocked_at INTEGER,
    blocked_by TEXT NOT NULL DEFAULT '',   -- the admin; '': the answers that it got
    reason     TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX senders_last ON chat_senders (last_at, id);
CREATE INDEX senders_blocked ON chat_senders (blocked_at) WHERE blocked_at IS NOT NULL;
CREATE INDEX senders_address ON chat_senders (address) WHERE kind = 'visitor';

-- Whom a sender wrote to last, and what, as a hash.
CREATE TABLE sender_numbers (
    sender TEXT NOT NULL,
    number TEXT NOT NULL,
    at     INTEGER NOT NULL,
    text   BLOB NOT NULL,
    PRIMARY KEY (sender, number)
) WITHOUT ROWID;
CREATE INDEX sender_numbers_number ON sender_numbers (number);
CREATE INDEX sender_numbers_at ON sender_numbers (at);

-- Answers of SPAM, THREAT and STOP: one per sender, number, day and kind.
CREATE TABLE sender_answers (
    sender TEXT NOT NULL,
    kind   TEXT NOT NULL,                  -- spam, threat, stop
    number TEXT NOT NULL,                  -- something else once that was erased
    day    TEXT NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (sender, kind, number, day)
) WITHOUT ROWID;
CREATE INDEX sender_answers_number ON sender_answers (number);
CREATE INDEX sender_answers_at ON sender_answers (at);

CREATE TABLE blocked_numbers (
    number TEXT PRIMARY KEY,
    at     INTEGER NOT NULL,
    by     TEXT NOT NULL,
    reason TEXT NOT NULL
) WITHOUT ROWID;

-- What admins decided, and the key that puzzles are signed with.
CREATE TABLE chat_rules (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    rules      TEXT NOT NULL,              -- JSON; '': as the gateway has them
    updated_at INTEGER NOT NULL,
    updated_by TEXT NOT NULL,
    puzzle_key BLOB NOT NULL
);

-- Solutions that were used, until they would expire.
CREATE TABLE used_puzzles (
    id    TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX used_puzzles_until ON used_puzzles (until);
