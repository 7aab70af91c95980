-- +goose Up
-- Times are Unix milliseconds; NULL: not yet. Owner of every table here: queue.

-- A message, in either direction. Number and text live here and nowhere else:
-- slots, parts, events and answers refer to the row, so erasing is one place.
CREATE TABLE messages (
    row                INTEGER PRIMARY KEY AUTOINCREMENT,
    id                 TEXT NOT NULL UNIQUE,
    direction          TEXT NOT NULL,
    status             TEXT NOT NULL,
    number             TEXT NOT NULL, -- the other side: recipient or sender
    local              TEXT NOT NULL, -- our side: SIM number or modem name
    text               TEXT,          -- NULL: erased, or binary
    data               BLOB,
    port               INTEGER NOT NULL DEFAULT 0,
    encoding           TEXT NOT NULL,
    parts              INTEGER NOT NULL,
    modem              TEXT NOT NULL DEFAULT '',
    priority           INTEGER NOT NULL DEFAULT 0,
    flash              INTEGER NOT NULL DEFAULT 0,
    delivery_report    INTEGER NOT NULL DEFAULT 0,
    on_unconfirmed     TEXT NOT NULL DEFAULT '',
    callback_url       TEXT NOT NULL DEFAULT '',
    metadata           TEXT,
    client_id          TEXT,
    created_at         INTEGER NOT NULL,
    send_at            INTEGER,
    expires_at         INTEGER,
    expected_at        INTEGER,
    sent_at            INTEGER,
    delivered_at       INTEGER,
    updated_at         INTEGER NOT NULL,
    attempts           INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    incomplete         INTEGER NOT NULL DEFAULT 0,
    redacted           INTEGER NOT NULL DEFAULT 0,
    error_code         TEXT,
    error_title        TEXT,
    error_detail       TEXT,
    -- what only the queue needs
    key_id             TEXT NOT NULL DEFAULT '', -- the API key that submitted it
    pin                TEXT NOT NULL DEFAULT '', -- the only modem that may send it
    slot               INTEGER,                  -- its address in its ring, while it has one
    queued_seq         INTEGER,                  -- its place in the order; NULL once nothing is left to send
    not_before         INTEGER,                  -- backoff
    concat_ref         INTEGER,                  -- TP-UDH reference, fixed at the first part
    resends_left       INTEGER NOT NULL DEFAULT 1,
    extra_resend       INTEGER NOT NULL DEFAULT 0, -- 1: a resend that our own end cut off was granted again
    unconfirmed_at     INTEGER,                  -- when the doubtful part was given to the modem
    refused_by         TEXT NOT NULL DEFAULT ''  -- SIMs that refused it, space-separated
);
CREATE INDEX messages_number ON messages (number, row);
CREATE INDEX messages_queued ON messages (queued_seq) WHERE queued_seq IS NOT NULL;
CREATE INDEX messages_scheduled ON messages (send_at) WHERE status = 'scheduled';
CREATE INDEX messages_expiring ON messages (expires_at) WHERE status IN ('scheduled', 'queued') AND expires_at IS NOT NULL;
CREATE INDEX messages_unconfirmed ON messages (unconfirmed_at) WHERE status = 'unconfirmed';
CREATE UNIQUE INDEX messages_client_id ON messages (key_id, client_id) WHERE client_id IS NOT NULL;

-- The outbound ring. A slot that was never used has no row.
CREATE TABLE outbound_ring (
    address   INTEGER PRIMARY KEY,
    message   INTEGER NOT NULL,
    retrieved INTEGER NOT NULL,
    sent      INTEGER,
    confirmed INTEGER,
    processed INTEGER
);
CREATE INDEX outbound_free ON outbound_ring (address) WHERE processed IS NOT NULL;
CREATE INDEX outbound_used ON outbound_ring (retrieved) WHERE processed IS NULL;
CREATE INDEX outbound_reporting ON outbound_ring (confirmed) WHERE processed IS NULL AND confirmed IS NOT NULL;

CREATE TABLE inbound_ring (
    address   INTEGER PRIMARY KEY,
    message   INTEGER NOT NULL,
    event     INTEGER NOT NULL, -- the event that tells it
    retrieved INTEGER NOT NULL,
    sent      INTEGER,
    confirmed INTEGER,
    processed INTEGER
);
CREATE INDEX inbound_free ON inbound_ring (address) WHERE processed IS NOT NULL;
CREATE INDEX inbound_used ON inbound_ring (event) WHERE processed IS NULL;

-- The address that got each flag last, for people to see.
CREATE TABLE ring_pointers (
    ring      TEXT PRIMARY KEY,
    retrieved INTEGER,
    sent      INTEGER,
    confirmed INTEGER,
    processed INTEGER
) WITHOUT ROWID;
INSERT INTO ring_pointers (ring) VALUES ('outbound'), ('inbound');

-- One SMS of an outbound message, from the moment a modem was given it.
CREATE TABLE parts (
    message      INTEGER NOT NULL REFERENCES messages (row) ON DELETE CASCADE,
    number       INTEGER NOT NULL, -- 1 and up
    modem        TEXT NOT NULL,
    sim          TEXT NOT NULL,
    sent_at      INTEGER NOT NULL, -- write-ahead: committed before the PDU is written
    expected_mr  INTEGER,          -- the TP-MR it would get, while none is known
    tp_mr        INTEGER,
    confirmed_at INTEGER,
    doubted_at   INTEGER,          -- its answer was given up
    reported_at  INTEGER,
    tp_st        INTEGER,          -- of the newest status report
    awaiting     INTEGER NOT NULL DEFAULT 0, -- 1: a status report may come; 2: only a repetition; 0: nothing is expected
    attempts     INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (message, number)
) WITHOUT ROWID;
CREATE INDEX parts_awaiting ON parts (sim, coalesce(tp_mr, expected_mr, -1), sent_at) WHERE awaiting > 0;

-- The event log. AUTOINCREMENT: a sequence is never used twice, not even after
-- the newest events were erased with their message.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    type    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    message INTEGER REFERENCES messages (row) ON DELETE CASCADE,
    state   TEXT NOT NULL -- what the message's row said then, without number and text; or the whole modem
);
CREATE INDEX events_message ON events (message) WHERE message IS NOT NULL;

-- Durable readers of the log. Events from "hold" on are still needed.
CREATE TABLE cursors (
    reader TEXT PRIMARY KEY,
    seq    INTEGER NOT NULL,
    hold   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- The answers given to requests with an Idempotency-Key.
CREATE TABLE idempotency (
    key_id     TEXT NOT NULL,
    key        TEXT NOT NULL,
    body       BLOB NOT NULL, -- hash of the parsed body
    created_at INTEGER NOT NULL,
    answer     TEXT NOT NULL, -- rows and their state then, without number and text
    PRIMARY KEY (key_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

-- Numbers that said STOP.
CREATE TABLE stop_list (
    number TEXT PRIMARY KEY,
    since  INTEGER NOT NULL,
    word   TEXT NOT NULL -- what it said
) WITHOUT ROWID;

-- The next concatenation reference per recipient, never repeated within 256 messages.
CREATE TABLE concat_refs (
    number TEXT PRIMARY KEY,
    ref    INTEGER NOT NULL
) WITHOUT ROWID;

-- The SIM that a number last wrote to or heard from.
CREATE TABLE senders (
    number TEXT PRIMARY KEY,
    sim    TEXT NOT NULL,
    at     INTEGER NOT NULL
) WITHOUT ROWID;

-- Every received PDU, raw, as long as its message; parts wait here for the rest.
CREATE TABLE received_pdus (
    row        INTEGER PRIMARY KEY,
    message    INTEGER REFERENCES messages (row) ON DELETE CASCADE, -- NULL: waits for other parts, or a report
    modem      TEXT NOT NULL,
    sim        TEXT NOT NULL,
    local      TEXT NOT NULL, -- SIM number or modem name
    storage    TEXT NOT NULL, -- '' when it came directly
    position   INTEGER NOT NULL,
    pdu        BLOB NOT NULL,
    hash       BLOB NOT NULL,
    at         INTEGER NOT NULL,
    deleted_at INTEGER,       -- the modem has confirmed its deletion
    duplicate  INTEGER NOT NULL DEFAULT 0, -- the same PDU was here before
    -- of a part of a longer message
    set_key    TEXT,          -- SIM, sender, width, reference and number of parts
    set_id     INTEGER,       -- row of the set's first part: references are reused
    seq        INTEGER,
    scts       INTEGER
);
CREATE INDEX received_stored ON received_pdus (sim, storage, position) WHERE deleted_at IS NULL AND storage <> '';
CREATE INDEX received_waiting ON received_pdus (set_key) WHERE set_key IS NOT NULL AND message IS NULL;
CREATE INDEX received_loose ON received_pdus (at) WHERE message IS NULL AND set_key IS NULL;
CREATE INDEX received_hash ON received_pdus (hash);
CREATE INDEX received_message ON received_pdus (message) WHERE message IS NOT NULL;

-- Status reports that match no part yet: they may come before +CMGS.
CREATE TABLE early_reports (
    row    INTEGER PRIMARY KEY,
    sim    TEXT NOT NULL,
    tp_mr  INTEGER NOT NULL,
    number TEXT NOT NULL,
    tp_st  INTEGER NOT NULL,
    scts   INTEGER,          -- when the service centre got the part
    at     INTEGER NOT NULL
);
CREATE INDEX early_reports_sim ON early_reports (sim, tp_mr);
