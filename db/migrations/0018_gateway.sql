-- +goose Up
-- Owner: gateway. What went over the modems' ports around messages that failed,
-- were not delivered or were in doubt: masked, so no number and no text is here.
CREATE TABLE traces (
    row     INTEGER PRIMARY KEY, -- the newest are kept
    message TEXT NOT NULL UNIQUE, -- its id; erased with it
    pieces  TEXT NOT NULL         -- JSON
);
