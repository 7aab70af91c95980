-- +goose Up
-- Times are Unix milliseconds. Owner: gateway.

-- How well the modems heard their networks in the last two days: means of five
-- minutes. NULL: not measured.
CREATE TABLE signal_history (
    modem      TEXT NOT NULL,
    at         INTEGER NOT NULL, -- when the five minutes began
    dbm        REAL,
    worst_dbm  REAL,
    rsrp       REAL,
    worst_rsrp REAL,
    rsrq       REAL,
    sinr       REAL,
    technology TEXT NOT NULL     -- ''
);
CREATE INDEX signal_history_of ON signal_history (modem, at);
