-- Times are milliseconds since 1970. Ids are the 16 bytes of a UUID.

-- Undecided messages. AUTOINCREMENT never gives a number twice, and sqlite_sequence counts what was ever enqueued.
-- The body stands last, so that a search by visible_at stays off its overflow pages.
CREATE TABLE queue (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,
    enqueued_at INTEGER NOT NULL,
    visible_at  INTEGER NOT NULL,
    deliveries  INTEGER NOT NULL,
    body        TEXT    NOT NULL
) STRICT;

-- What a request was decided. message_key is an integer when it is a number of our own queue.
CREATE TABLE decision (
    id           INTEGER PRIMARY KEY,
    request_id   BLOB    NOT NULL UNIQUE,
    message_key  ANY     NOT NULL UNIQUE,
    station_id   TEXT    NOT NULL,
    driver_token TEXT    NOT NULL,
    callback_url TEXT    NOT NULL,
    status       TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    accepted_at  INTEGER NOT NULL,
    decided_at   INTEGER NOT NULL,
    late         INTEGER NOT NULL CHECK (late IN (0, 1)),
    traceparent  TEXT
) STRICT;

-- The hot part of a decision: how far its callback is. due_at doubles as the end of a lease.
CREATE TABLE callback (
    request_id       BLOB    PRIMARY KEY REFERENCES decision (request_id),
    state            TEXT    NOT NULL CHECK (state IN ('pending', 'delivered', 'dead')),
    host             TEXT    NOT NULL,
    due_at           INTEGER NOT NULL,
    leased           INTEGER NOT NULL CHECK (leased IN (0, 1)),
    attempt          INTEGER NOT NULL,
    round_first      INTEGER NOT NULL,
    round_started_at INTEGER NOT NULL,
    finished_at      INTEGER CHECK ((finished_at IS NULL) = (state = 'pending')),
    give_up          TEXT    CHECK ((give_up IS NULL) = (state <> 'dead'))
) STRICT, WITHOUT ROWID;

CREATE INDEX callback_due ON callback (host, due_at) WHERE state = 'pending';
CREATE INDEX callback_finished ON callback (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX callback_dead ON callback (finished_at) WHERE state = 'dead';

CREATE TABLE attempt (
    request_id  BLOB    NOT NULL REFERENCES decision (request_id),
    attempt     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    took_ms     INTEGER NOT NULL,
    result      TEXT    NOT NULL,
    http_status INTEGER,
    PRIMARY KEY (request_id, attempt)
) STRICT, WITHOUT ROWID;

-- Messages that asked again what was decided already.
CREATE TABLE duplicate (
    message_key ANY     PRIMARY KEY NOT NULL,
    request_id  BLOB    NOT NULL REFERENCES decision (request_id),
    found_at    INTEGER NOT NULL
) STRICT;

CREATE INDEX duplicate_request ON duplicate (request_id);

-- Messages nobody can read.
CREATE TABLE poison (
    message_key ANY     PRIMARY KEY NOT NULL,
    found_at    INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    body        BLOB    NOT NULL
) STRICT;

CREATE INDEX poison_found ON poison (found_at);

-- What retention deleted, so that the books still balance: how many ...
CREATE TABLE ledger (
    only_row   INTEGER PRIMARY KEY CHECK (only_row = 1),
    decided    INTEGER NOT NULL,
    duplicates INTEGER NOT NULL,
    poison     INTEGER NOT NULL,
    delivered  INTEGER NOT NULL,
    dead       INTEGER NOT NULL
) STRICT;

INSERT INTO ledger VALUES (1, 0, 0, 0, 0, 0);

-- ... and which message numbers, as ranges that neither touch nor overlap.
CREATE TABLE purged (
    first INTEGER PRIMARY KEY,
    last  INTEGER NOT NULL UNIQUE CHECK (last >= first)
) STRICT;
