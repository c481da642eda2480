-- Receivers of callbacks that are unavailable: hosts and addresses that are called only by probes.
CREATE TABLE receiver (
    receiver   TEXT    PRIMARY KEY NOT NULL,
    probes     INTEGER NOT NULL,
    probe_at   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Time of the last failed attempt of a round, for repeats of the request.
ALTER TABLE callback ADD COLUMN retried_at INTEGER;
