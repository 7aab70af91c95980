-- +goose Up
-- Owner: gateway.

-- What people set on the page Setup, where the configuration file leaves it open.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- PINs that people gave, which must be entered at each start: so as they are.
CREATE TABLE pins (
    sim TEXT PRIMARY KEY, -- ICCID, or what stands for it where the modem tells none
    pin TEXT NOT NULL
) WITHOUT ROWID;
