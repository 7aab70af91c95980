-- +goose Up
-- Whether a file still goes with any message is asked when one of them is erased.
CREATE INDEX messages_files ON messages (row) WHERE files IS NOT NULL;
