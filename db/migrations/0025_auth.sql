-- +goose Up
-- Owner: auth. Times are Unix milliseconds.

-- What recipients are told of a person, and where an invitation goes.
ALTER TABLE people ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN display_name TEXT NOT NULL DEFAULT ''; -- '': the name
ALTER TABLE people ADD COLUMN sign_off TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN team TEXT NOT NULL DEFAULT '';         -- '': that of everybody who has none

-- The e-mail with an invitation. It is not kept: each try has a code of its own.
ALTER TABLE people ADD COLUMN mail_state TEXT NOT NULL DEFAULT '';   -- '': none; waiting, sent, failed
ALTER TABLE people ADD COLUMN mail_base TEXT NOT NULL DEFAULT '';    -- the box's address, as whoever invited reached it
ALTER TABLE people ADD COLUMN mail_error TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN mail_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE people ADD COLUMN mail_made_at INTEGER;                  -- it was asked for
ALTER TABLE people ADD COLUMN mail_at INTEGER;                       -- it is tried next, or it was sent or given up
CREATE INDEX people_mail ON people (mail_at) WHERE mail_state = 'waiting';
