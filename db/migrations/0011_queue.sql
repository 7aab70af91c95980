-- +goose Up
-- Owner: queue. What of large batches is accepted and not yet written out as
-- messages, some messages to a row: the whole of a batch is put here in one
-- short commit, and a row goes in the commit that writes its messages.
CREATE TABLE batch_slices (
    first           INTEGER PRIMARY KEY, -- the messages row of the first one; the others' follow
    count           INTEGER NOT NULL,
    accepted_at     INTEGER NOT NULL,
    clock_uncertain INTEGER NOT NULL,    -- as in messages
    ids             TEXT NOT NULL,       -- theirs, separated by spaces
    drafts          TEXT NOT NULL        -- what they say and to whom, as JSON
);
