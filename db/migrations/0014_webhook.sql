-- +goose Up
-- Owner: webhook. Endpoints that the API makes, secrets that change, and
-- receivers that a message names itself.

ALTER TABLE webhook_endpoints ADD COLUMN public TEXT NOT NULL DEFAULT '';      -- its id in the API; '' until the next start
ALTER TABLE webhook_endpoints ADD COLUMN kind TEXT NOT NULL DEFAULT 'config';  -- config, api; origin: of messages' own URLs
ALTER TABLE webhook_endpoints ADD COLUMN settings TEXT;                        -- of one that the API made, JSON
ALTER TABLE webhook_endpoints ADD COLUMN created_at INTEGER;
ALTER TABLE webhook_endpoints ADD COLUMN disabled_for TEXT;                    -- why it is disabled, in words
ALTER TABLE webhook_endpoints ADD COLUMN failing_since INTEGER;                -- the first failure since its last success
ALTER TABLE webhook_endpoints ADD COLUMN exhausted_at INTEGER;                 -- an event was given up since then, after three days

-- The secrets of endpoints that the API made, and of callbacks (endpoint 0):
-- recoverable, for they sign.
CREATE TABLE webhook_secrets (
    row      INTEGER PRIMARY KEY AUTOINCREMENT, -- the newest is the one in use
    endpoint INTEGER NOT NULL,
    secret   TEXT NOT NULL,
    until    INTEGER                            -- it was replaced and signs until then
);
CREATE INDEX webhook_secrets_endpoint ON webhook_secrets (endpoint);

-- The events that an endpoint was not told because it was disabled.
CREATE TABLE webhook_gaps (
    endpoint  INTEGER NOT NULL,
    after_seq INTEGER NOT NULL, -- of the event log
    until_seq INTEGER           -- NULL: it goes on
);
CREATE INDEX webhook_gaps_endpoint ON webhook_gaps (endpoint);

-- Where a delivery goes if not to its endpoint's URL. The URL may hold a number:
-- it is erased with the message and when the delivery is over.
ALTER TABLE webhook_deliveries ADD COLUMN url TEXT;
ALTER TABLE webhook_deliveries ADD COLUMN format TEXT;
ALTER TABLE webhook_deliveries ADD COLUMN account TEXT;
ALTER TABLE webhook_deliveries ADD COLUMN latency INTEGER; -- of the last attempt, milliseconds
ALTER TABLE webhook_deliveries ADD COLUMN answer TEXT;     -- its first bytes; erased with the message
ALTER TABLE webhook_deliveries ADD COLUMN history TEXT;    -- the failed attempts before it, JSON
CREATE INDEX webhook_deliveries_erasable ON webhook_deliveries (message) WHERE url IS NOT NULL OR answer IS NOT NULL;
