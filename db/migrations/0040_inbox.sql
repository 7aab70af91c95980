-- +goose Up
-- Owner: inbox.

-- Since when there is a link to a file in a text: it ends as texts do.
ALTER TABLE inbox_links ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE inbox_links SET at = unixepoch() * 1000;
