-- +goose Up
-- Owner: queue. Fewer pages for each part that is sent: what can be found
-- another way has no index, and what is only shown is kept in memory.

-- The events of a message are a chain, newest first, instead of an index. The
-- sequence is given by the queue, which keeps the last one when it erases.
CREATE TABLE sequences (
    name TEXT PRIMARY KEY,
    last INTEGER NOT NULL -- never given again
) WITHOUT ROWID;
INSERT INTO sequences (name, last) VALUES ('events', coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'events'), 0));

ALTER TABLE messages ADD COLUMN last_event INTEGER NOT NULL DEFAULT 0; -- the newest event of its chain
UPDATE messages SET last_event = coalesce((SELECT max(seq) FROM events WHERE events.message = messages.row), 0);

CREATE TABLE events_chained (
    seq     INTEGER PRIMARY KEY,
    type    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    clock_uncertain INTEGER NOT NULL DEFAULT 0,
    message INTEGER,           -- its row; erasing it erases its events
    prev    INTEGER,           -- the event before of the same message; it may be pruned
    state   TEXT NOT NULL      -- what the message's row said then, without number and text; or what it is about
);
INSERT INTO events_chained (seq, type, at, clock_uncertain, message, prev, state)
    SELECT seq, type, at, clock_uncertain, message, CASE WHEN message IS NOT NULL THEN lag(seq) OVER (PARTITION BY message ORDER BY seq) END, state FROM events;
DROP TABLE events;
ALTER TABLE events_chained RENAME TO events;

-- What waits is found by the ring: every message that is not finished has a slot.
DROP INDEX messages_queued;

-- Which slots are in use is kept in memory, a bit each, and so are the pointers.
DROP INDEX outbound_free;
DROP INDEX outbound_used;
DROP INDEX inbound_free;
DROP TABLE ring_pointers;
