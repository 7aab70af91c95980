-- +goose Up
-- Owner of both tables: queue. Days and months are those of the gateway's time
-- zone, as numbers: 20261122, 202611.

-- SMS parts that a SIM was given to send, but for those that were refused. A
-- day's row is never set back: a clock that jumps finds every day as it left it.
CREATE TABLE sim_days (
    sim   TEXT NOT NULL, -- as in parts
    day   INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    PRIMARY KEY (sim, day)
) WITHOUT ROWID;

-- Whom a SIM has texted in a month, for SIMs with a limit of that. The number
-- itself is not here; erasing it puts a random value in its hash's place.
CREATE TABLE sim_recipients (
    sim       TEXT NOT NULL,
    month     INTEGER NOT NULL,
    recipient INTEGER NOT NULL, -- 64 bits of a hash of the number
    PRIMARY KEY (sim, month, recipient)
) WITHOUT ROWID;
