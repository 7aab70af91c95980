-- +goose Up
-- Times are Unix milliseconds. Owner of both tables: gateway.

-- Modems that were here, so that a name stays with its modem over replugs and
-- reboots, whichever socket it is in.
CREATE TABLE known_modems (
    imei    TEXT PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,
    iccid   TEXT NOT NULL, -- of the SIM that was in it last; "": none, or not known
    seen_at INTEGER NOT NULL
) WITHOUT ROWID;

-- PINs that a SIM has refused, or may have: none is entered twice. One that was
-- accepted is not kept.
CREATE TABLE tried_pins (
    sim      TEXT NOT NULL, -- as in parts
    pin      BLOB NOT NULL, -- SHA-256 of SIM and PIN
    tried_at INTEGER NOT NULL,
    PRIMARY KEY (sim, pin)
) WITHOUT ROWID;
