-- +goose Up
-- Times are Unix milliseconds. Owner: gateway.

-- What became of the last backup, as the command says that makes them: one row, or
-- none while nobody has tried.
CREATE TABLE backups (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    made_at       INTEGER,                    -- NULL: none was made yet
    bytes         INTEGER NOT NULL DEFAULT 0,
    failing_since INTEGER,                    -- the first try that failed since then; NULL: the last one was made
    error         TEXT NOT NULL DEFAULT ''
);
