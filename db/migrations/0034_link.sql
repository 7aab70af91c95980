-- +goose Up
-- Owner: link. What a gateway keeps of its link to a hub; one row, or none.
CREATE TABLE hub_link (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    name          TEXT NOT NULL,              -- as the hub calls this gateway
    log           INTEGER NOT NULL DEFAULT 1, -- how often the event log was told under another name
    clustered     INTEGER NOT NULL DEFAULT 0, -- what was told last went to a cluster
    consent       INTEGER NOT NULL DEFAULT 0, -- the hub's sequence that this gateway has come to
    configuration INTEGER NOT NULL DEFAULT 0, -- the version that it has applied
    lease         INTEGER NOT NULL DEFAULT 0, -- milliseconds; 0: none
    public_url    TEXT NOT NULL DEFAULT '',   -- of the hub
    stop_pages    INTEGER NOT NULL DEFAULT 0, -- of the stop list, that were told
    stop_after    TEXT NOT NULL DEFAULT '',   -- the last number on them
    stops_told    INTEGER NOT NULL DEFAULT 0  -- all of it was
);
