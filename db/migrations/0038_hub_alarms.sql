-- +goose Up
-- Owner: hub.

-- Alarms of gateways that the hub has told, by their place in the gateway's event log. The
-- newest of each gateway are kept.
CREATE TABLE gateway_alarms (
    id      INTEGER PRIMARY KEY,
    gateway TEXT NOT NULL,
    life    TEXT NOT NULL,    -- of that log
    seq     INTEGER NOT NULL,
    UNIQUE (gateway, life, seq)
);
CREATE INDEX gateway_alarms_newest ON gateway_alarms (gateway, id);
