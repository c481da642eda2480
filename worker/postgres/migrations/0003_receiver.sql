-- Receivers of callbacks that are unavailable: hosts and addresses that workers call only by probes. A row is removed once
-- the receiver accepts a callback, or when no worker has reported it for an hour.
CREATE TABLE chargegate.receiver (
    receiver   text    COLLATE "C" PRIMARY KEY,
    probes     integer NOT NULL,
    probe_at   bigint  NOT NULL,
    updated_at bigint  NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Time of the last failed attempt of a round, for repeats of the request.
ALTER TABLE chargegate.callback ADD COLUMN retried_at bigint;
