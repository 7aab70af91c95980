-- +goose Up
-- Owner: queue. 1: a time of it was taken while nobody knew whether the clock was right.
ALTER TABLE messages ADD COLUMN clock_uncertain INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN clock_uncertain INTEGER NOT NULL DEFAULT 0;
