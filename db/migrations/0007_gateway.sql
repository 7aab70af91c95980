-- +goose Up
-- Times are Unix milliseconds. Owner of both tables: gateway.

-- What is watched of a prepaid SIM.
CREATE TABLE accounts (
    sim      TEXT PRIMARY KEY, -- as in parts
    amount   TEXT NOT NULL,    -- decimal; '': not known
    currency TEXT NOT NULL,
    known_at INTEGER NOT NULL, -- of amount; 0: never
    asked_at INTEGER NOT NULL, -- answered or not; 0: never
    fault    TEXT NOT NULL,    -- why amount is not known anew; ''
    answer   TEXT NOT NULL,    -- the network's text, if no amount was found in it
    alive_at INTEGER NOT NULL  -- the last keep-alive text was queued; 0: never
) WITHOUT ROWID;

-- Alarms that go on; what began and ended is in the event log.
CREATE TABLE alarms (
    code     TEXT NOT NULL,
    modem    TEXT NOT NULL,
    title    TEXT NOT NULL,
    detail   TEXT NOT NULL,
    begun_at INTEGER NOT NULL,
    PRIMARY KEY (code, modem)
) WITHOUT ROWID;
