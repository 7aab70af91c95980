-- +goose Up
-- Times are Unix milliseconds. Owner of all tables: gateway.

ALTER TABLE alarms ADD COLUMN severity TEXT NOT NULL DEFAULT 'warning';
ALTER TABLE alarms ADD COLUMN told_at INTEGER NOT NULL DEFAULT 0; -- people were told, or reminded, last

-- Alarms that are over, for 90 days.
CREATE TABLE alarm_history (
    begun_at INTEGER NOT NULL,
    code     TEXT NOT NULL,
    modem    TEXT NOT NULL,
    title    TEXT NOT NULL,
    detail   TEXT NOT NULL,
    severity TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (begun_at, code, modem)
) WITHOUT ROWID;
CREATE INDEX alarm_history_ended ON alarm_history (ended_at);

-- What people are to be told, until it stands in a letter.
CREATE TABLE alarm_notices (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL, -- begin, end, still
    code     TEXT NOT NULL,
    modem    TEXT NOT NULL,
    title    TEXT NOT NULL,
    detail   TEXT NOT NULL,
    severity TEXT NOT NULL,
    at       INTEGER NOT NULL
);

-- What is told to one receiver at once. Sent, it says nothing any more; its row is
-- what the limit per hour counts.
CREATE TABLE alarm_letters (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    channel  TEXT NOT NULL, -- sms, mail
    receiver TEXT NOT NULL,
    subject  TEXT NOT NULL,
    body     TEXT NOT NULL,
    made_at  INTEGER NOT NULL,
    tries    INTEGER NOT NULL,
    due_at   INTEGER NOT NULL,
    sent_at  INTEGER        -- sent or given up; NULL: it waits
);
