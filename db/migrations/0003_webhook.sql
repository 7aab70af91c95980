-- +goose Up
-- Times are Unix milliseconds. Owner of every table here: webhook.

-- An endpoint that the configuration has, or had until a week ago.
CREATE TABLE webhook_endpoints (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    identity    TEXT NOT NULL UNIQUE, -- its configured name, else a hash of its URL
    name        TEXT NOT NULL,        -- as people see it
    url_hash    TEXT NOT NULL,
    disabled_at INTEGER,              -- it answered 410
    removed_at  INTEGER               -- it left the configuration
);

-- One event for one endpoint. Text and number are not here: the event's
-- sequence leads to the one row that has them.
CREATE TABLE webhook_deliveries (
    row          INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of the log
    id           TEXT NOT NULL UNIQUE,              -- webhook-id, the same at every attempt
    endpoint     INTEGER NOT NULL REFERENCES webhook_endpoints (id),
    seq          INTEGER NOT NULL,                  -- of the event
    type         TEXT NOT NULL,
    message      TEXT NOT NULL,                     -- id, '' without one
    lane         INTEGER NOT NULL,                  -- keyed hash of the number; 0 once it is over
    head         INTEGER NOT NULL,                  -- 1: the oldest pending one of its lane, the only one that may go
    state        TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed', 'dropped')),
    attempts     INTEGER NOT NULL DEFAULT 0,
    tries        INTEGER NOT NULL DEFAULT 0,        -- backoff steps since it last became pending
    refusals     INTEGER NOT NULL DEFAULT 0,        -- answers that another attempt will hardly change
    waited       INTEGER NOT NULL DEFAULT 0,        -- milliseconds of backoff, of the three days
    last_status  INTEGER,
    last_error   TEXT,
    next_at      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    attempt_at   INTEGER,                           -- the last one
    ended_at     INTEGER                            -- delivered or dropped
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint, next_at) WHERE head = 1;
CREATE INDEX webhook_deliveries_lane ON webhook_deliveries (endpoint, lane, row) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_needed ON webhook_deliveries (seq) WHERE state IN ('pending', 'failed');
CREATE INDEX webhook_deliveries_failed ON webhook_deliveries (row) WHERE state = 'failed';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;

-- The key of the lanes' hash, made at the first start.
CREATE TABLE webhook_key (
    lane BLOB NOT NULL
);
