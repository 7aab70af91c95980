-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: contacts.

-- Whom people know. A row that is deleted says nothing any more; it stays so that no
-- backup brings the contact back.
CREATE TABLE contacts (
    id           TEXT PRIMARY KEY,
    team         TEXT NOT NULL,            -- whose it is; '': of everybody without a team
    name         TEXT NOT NULL,
    sort         TEXT NOT NULL,            -- the name as it is ordered
    search       TEXT NOT NULL,            -- name, organisation and e-mail as they are searched
    email        TEXT NOT NULL DEFAULT '',
    organisation TEXT NOT NULL DEFAULT '',
    note         TEXT NOT NULL DEFAULT '',
    language     TEXT NOT NULL DEFAULT '', -- BCP 47
    consent      TEXT NOT NULL DEFAULT '', -- the wording of the consent that was given elsewhere; '': none
    consent_at   INTEGER,                  -- when it was given
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    deleted_at   INTEGER
) WITHOUT ROWID;
CREATE INDEX contacts_sorted ON contacts (sort, id) WHERE deleted_at IS NULL;

-- Their numbers: each is in one contact of a team.
CREATE TABLE contact_numbers (
    number   TEXT NOT NULL,                -- E.164
    team     TEXT NOT NULL,
    contact  TEXT NOT NULL,
    position INTEGER NOT NULL,             -- 0: the one that is written to
    PRIMARY KEY (number, team)
) WITHOUT ROWID;
CREATE INDEX contact_numbers_contact ON contact_numbers (contact, position);

CREATE TABLE contact_groups (
    id         TEXT PRIMARY KEY,
    team       TEXT NOT NULL,
    name       TEXT NOT NULL,
    sort       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER
) WITHOUT ROWID;
CREATE UNIQUE INDEX contact_groups_named ON contact_groups (team, sort) WHERE deleted_at IS NULL;

CREATE TABLE group_members (
    contact       TEXT NOT NULL,
    contact_group TEXT NOT NULL,
    PRIMARY KEY (contact, contact_group)
) WITHOUT ROWID;
CREATE INDEX group_members_group ON group_members (contact_group);
