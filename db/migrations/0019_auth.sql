-- +goose Up
-- Owner: auth. Times are Unix milliseconds; NULL: not yet or never.

-- People who sign in with a name and a password. One who is removed leaves a row
-- behind that says so and no more, so that no backup brings the account back, and
-- what was sent is still somebody's.
CREATE TABLE people (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,              -- as it is shown; '': removed
    login           TEXT NOT NULL,              -- the name as it is compared: case and form of letters don't count
    role            TEXT NOT NULL,              -- technician, operator, admin
    sees_texts      INTEGER NOT NULL DEFAULT 0, -- of a technician: 1: numbers and texts too
    password        TEXT NOT NULL DEFAULT '',   -- argon2id, with its parameters and salt; '': none was chosen yet
    code            BLOB,                       -- SHA-256 of the invitation, which is good once
    code_made_at    INTEGER,
    code_expires_at INTEGER,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,           -- of all that is here but the sign-in
    signed_in_at    INTEGER,
    disabled_at     INTEGER,
    removed_at      INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX people_login ON people (login) WHERE removed_at IS NULL;

-- The code that makes the first person, while there is none.
CREATE TABLE first_run (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    hash       BLOB NOT NULL, -- SHA-256
    made_at    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
);

-- Browsers that swapped a key, or a person's password, for a cookie.
ALTER TABLE sessions RENAME TO old_sessions;
CREATE TABLE sessions (
    hash       BLOB PRIMARY KEY,        -- SHA-256 of the cookie's value
    key_id     TEXT REFERENCES api_keys (id) ON DELETE CASCADE,
    person_id  TEXT REFERENCES people (id) ON DELETE CASCADE,
    browser    TEXT NOT NULL DEFAULT '', -- in words, for the list of one's sessions
    created_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,        -- to within some minutes
    expires_at INTEGER NOT NULL,
    CHECK ((key_id IS NULL) <> (person_id IS NULL))
) WITHOUT ROWID;
INSERT INTO sessions (hash, key_id, created_at, seen_at, expires_at) SELECT hash, key_id, created_at, created_at, expires_at FROM old_sessions;
DROP TABLE old_sessions;
CREATE INDEX sessions_key ON sessions (key_id);
CREATE INDEX sessions_person ON sessions (person_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);
