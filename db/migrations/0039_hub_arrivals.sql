-- +goose Up
-- Owner: hub.

-- What gateways received while the inbound ring was full. It is in nobody's list yet; it
-- enters the ring in this order, each gateway's own in the order of its event log.
CREATE TABLE hub_arrivals (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    message TEXT NOT NULL,  -- its id
    arrived TEXT NOT NULL,  -- a mirror.Arrived
    UNIQUE (gateway, message)
);
