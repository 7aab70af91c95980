-- +goose Up
-- Owner: webhook.

-- A message's page asks for its deliveries, again with each change. The ids are in
-- the order of acceptance, so this grows at its end.
CREATE INDEX webhook_deliveries_message ON webhook_deliveries (message) WHERE message <> '';
