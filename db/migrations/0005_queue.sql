-- +goose Up
-- Owner: queue.

-- What a message is, and what is known of one that is not a text, as JSON. It
-- holds numbers and texts, so it is erased with them.
ALTER TABLE messages ADD COLUMN kind TEXT NOT NULL DEFAULT 'text';
ALTER TABLE messages ADD COLUMN details TEXT;
UPDATE messages SET kind = 'data' WHERE data IS NOT NULL;
