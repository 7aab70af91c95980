-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: queue.

-- On a hub: the gateway that a message is with or came from, the gateway or group that
-- was asked for, and how far it has come to it: 0 it waits at the hub, 1 it has its
-- gateway, 2 it is in that one's stream, 3 the gateway has stored it. On a gateway: 4 it
-- came from the hub.
ALTER TABLE messages ADD COLUMN gateway TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN wish TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN relay INTEGER NOT NULL DEFAULT 0;
-- The way that it takes: '' the phone network, 'internet' the hub; how its sender wanted
-- it, what became of the copy by internet of one that went by SMS, and what goes with it.
-- Subject and files (JSON) are erased with the text.
ALTER TABLE messages ADD COLUMN via TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN copy TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN subject TEXT;
ALTER TABLE messages ADD COLUMN files TEXT;
CREATE INDEX messages_copy ON messages (row) WHERE copy = 'not-sent';
CREATE INDEX messages_by_internet ON messages (row) WHERE via = 'internet' AND status IN ('scheduled', 'queued');

-- On a hub: the mirror of each slot that a gateway has or had, in both directions.
CREATE TABLE relays (
    message      INTEGER PRIMARY KEY REFERENCES messages (row) ON DELETE CASCADE,
    address      INTEGER NOT NULL,          -- of its slot here
    gateway      TEXT NOT NULL,
    epoch        INTEGER NOT NULL,          -- the gateway's lease epoch when it was given
    stream_seq   INTEGER,                   -- its place in the stream; NULL: perhaps it is not there
    given_at     INTEGER NOT NULL,
    published_at INTEGER,
    stored_at    INTEGER,
    mirror       INTEGER,                   -- the address of its slot at the gateway; NULL: not known, or none any more
    sim          TEXT NOT NULL DEFAULT '',  -- the only one that may send it
    seq          INTEGER NOT NULL DEFAULT 0 -- the gateway's event that was applied last
);
CREATE INDEX relays_gateway ON relays (gateway, message);
CREATE INDEX relays_given ON relays (gateway, message) WHERE stream_seq IS NULL AND stored_at IS NULL;

-- On a gateway: what it has from its hub, and what it gave to it, by the message's id.
-- Kept longer than the messages: it is what makes a repetition the same message.
CREATE TABLE mirrored (
    id        TEXT PRIMARY KEY,
    direction TEXT NOT NULL,
    address   INTEGER,             -- of its slot at the hub; NULL: not told yet
    epoch     INTEGER NOT NULL DEFAULT 0,
    message   INTEGER,             -- row; it may be gone
    sim       TEXT NOT NULL DEFAULT '', -- the only one that may send it
    at        INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX mirrored_message ON mirrored (message) WHERE message IS NOT NULL;
CREATE INDEX mirrored_age ON mirrored (at);

-- When a number on the stop list said STOP once more: a START that is heard elsewhere, and
-- is older, lifts nothing.
ALTER TABLE stop_list ADD COLUMN again_at INTEGER;

-- The life of the event log by a name, for those elsewhere who count its events: a
-- restored backup begins another.
CREATE TABLE log_life (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    log TEXT NOT NULL
);
INSERT INTO log_life VALUES (1, lower(hex(randomblob(8))));
