-- +goose Up
-- Owner: queue. What a message said of itself when it was accepted.
ALTER TABLE messages ADD COLUMN udh BLOB;                                  -- of data: its own user data header; NULL: none
ALTER TABLE messages ADD COLUMN expected_modem TEXT NOT NULL DEFAULT '';   -- that was to send it at expected_at
ALTER TABLE messages ADD COLUMN warnings TEXT NOT NULL DEFAULT '';         -- their codes, space-separated
