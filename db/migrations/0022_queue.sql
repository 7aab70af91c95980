-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: queue.

-- The conversation that a message belongs to, who wrote it (JSON, with the network
-- address), and what it needs of its recipient's consent.
ALTER TABLE messages ADD COLUMN conversation TEXT;
ALTER TABLE messages ADD COLUMN author TEXT;
ALTER TABLE messages ADD COLUMN consent TEXT NOT NULL DEFAULT '';
CREATE INDEX messages_conversation ON messages (conversation, row) WHERE conversation IS NOT NULL;

-- Who said STOP: the number itself (word), or somebody for it. What a number said
-- itself, nobody else takes back.
ALTER TABLE stop_list ADD COLUMN reason TEXT NOT NULL DEFAULT 'word';

-- A conversation's opt-in, of those whose messages need one.
CREATE TABLE opt_ins (
    conversation TEXT PRIMARY KEY,
    number       TEXT NOT NULL,
    sim          TEXT NOT NULL,              -- the SIM that was answered to: ICCID, or the modem's name
    state        TEXT NOT NULL,              -- asked, given, ended
    asked_at     INTEGER,                    -- NULL: it was given without being asked for
    given_at     INTEGER,
    heard_at     INTEGER,                    -- the number said anything, last
    ended_at     INTEGER,
    reason       TEXT NOT NULL DEFAULT '',   -- why it ended
    used         INTEGER NOT NULL DEFAULT 0, -- messages since it was given, but for those that failed
    counted      INTEGER,                    -- those are the messages behind this row
    holds        INTEGER,                    -- messages behind this row may go; NULL: none may
    notice_until INTEGER                     -- until then its number is to be told that it ended
) WITHOUT ROWID;
CREATE INDEX opt_ins_number ON opt_ins (number);
CREATE INDEX opt_ins_silent ON opt_ins (coalesce(heard_at, given_at)) WHERE state = 'given';
CREATE INDEX opt_ins_notice ON opt_ins (notice_until) WHERE notice_until IS NOT NULL;

-- Every decision about consent, kept for good: it is erased with nothing.
CREATE TABLE consent_log (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    at           INTEGER NOT NULL,
    clock_uncertain INTEGER NOT NULL DEFAULT 0,
    number       TEXT NOT NULL,
    decision     TEXT NOT NULL,              -- asked, opt-in, opt-out, ended, help
    reason       TEXT NOT NULL,              -- word, silence, idle, used-up, blocked, admin, import, closed, erased
    wording      TEXT NOT NULL,              -- what was received or sent, or what somebody stated
    source       TEXT NOT NULL,              -- a message's id, a person's or key's id, or the gateway
    conversation TEXT,
    sim          TEXT
);
CREATE INDEX consent_log_number ON consent_log (number, seq);

-- Automatic answers, so that two machines never talk to each other: one per number and day.
CREATE TABLE auto_answers (
    number TEXT NOT NULL,
    day    TEXT NOT NULL,                    -- 2026-11-27, of the gateway's time
    kind   TEXT NOT NULL,                    -- stop: it confirms one; answer: any other; asked: HELP was noted
    PRIMARY KEY (number, day, kind)
) WITHOUT ROWID;
