-- +goose Up
-- Owner of all tables: reports. Numbers only: neither a phone number nor a text.

-- What happened, a row per day and whose it was.
CREATE TABLE report_counts (
    day       INTEGER NOT NULL, -- 20261127, in the gateway's time zone
    uncertain INTEGER NOT NULL, -- 1: nobody knew then which day it was
    sim       TEXT NOT NULL,    -- ICCID, or the modem's name; '': none had it
    modem     TEXT NOT NULL,
    author    TEXT NOT NULL,    -- person, widget, key, auto; '': nobody
    id        TEXT NOT NULL,    -- of the person, the widget or the API key
    kind      TEXT NOT NULL,    -- sent, delivered, undelivered, failed, received, answered, opted-out, spam, threat
    code      TEXT NOT NULL,    -- of an error; ''
    messages  INTEGER NOT NULL,
    parts     INTEGER NOT NULL,
    PRIMARY KEY (day, uncertain, sim, modem, author, id, kind, code)
) WITHOUT ROWID;

-- Up to which event all is counted. A new one begins where the log does.
CREATE TABLE report_place (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL
);
INSERT INTO report_place (one, seq) VALUES (1, 0);

-- Clocks that were set after events that are not counted yet.
CREATE TABLE report_steps (
    up_to INTEGER NOT NULL, -- the newest event of before
    began INTEGER NOT NULL, -- the run, by the clock of before: Unix milliseconds
    step  INTEGER NOT NULL  -- milliseconds
);
