-- +goose Up
-- Owner: queue.

-- Restored from a backup and waiting for somebody's word: 0 not; 1 it has not
-- gone out; 2 it may have gone out after the backup was made.
ALTER TABLE messages ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
CREATE INDEX messages_held ON messages (row) WHERE held > 0;

-- The backups that were restored.
CREATE TABLE restores (
    row     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    log     INTEGER NOT NULL, -- events from here on are of this life; who has read others begins anew
    verdict TEXT NOT NULL     -- what becomes of what is held: release, cancel; '' nobody has said
);
