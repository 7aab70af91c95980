-- +goose Up
-- Owner of all tables: hub. Times are Unix milliseconds.

-- What is for a gateway and is no message to send: receipts, and what somebody wrote in
-- an inbox. It is gone once the gateway's stream has it. item is a mirror.Item.
CREATE TABLE hub_items (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    gateway TEXT NOT NULL,
    item    TEXT NOT NULL
);
CREATE INDEX hub_items_gateway ON hub_items (gateway, id);

-- Messages that are being taken out of a gateway's stream: written before the first is
-- deleted there, gone with the commit that books what came of it.
CREATE TABLE hub_withdrawals (
    message INTEGER PRIMARY KEY, -- row in messages
    gateway TEXT NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL     -- in the stream
);

-- Gateways whose messages somebody has moved and that is not done yet: what was given to
-- the gateway before this epoch goes to target, a gateway or group:NAME.
CREATE TABLE hub_moves (
    gateway TEXT PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    target  TEXT NOT NULL
) WITHOUT ROWID;

-- Up to which sequence a gateway was handed its stream by requests, where it has no
-- consumer: written before the answer.
CREATE TABLE hub_pulls (
    gateway   TEXT PRIMARY KEY,
    delivered INTEGER NOT NULL
) WITHOUT ROWID;
