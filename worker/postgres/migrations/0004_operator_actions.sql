-- Pauses of receiver hosts, by the clock of this database; one without an end is in force.
CREATE TABLE chargegate.host_pause (
    host       text   COLLATE "C" NOT NULL,
    paused_at  bigint NOT NULL,
    resumed_at bigint,
    PRIMARY KEY (host, paused_at)
);

CREATE UNIQUE INDEX host_pause_open ON chargegate.host_pause (host) WHERE resumed_at IS NULL;

-- Actions of operators. The batches of an action share one row.
CREATE TABLE chargegate.operator_action (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    action_id  text   NOT NULL UNIQUE,
    started_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    operator   text   NOT NULL,
    action     text   NOT NULL,
    selection  text   NOT NULL,
    changed    bigint NOT NULL
);

-- Dead letters that an operator discarded need no attention. The index attempt_dead, which has them all, stays.
CREATE INDEX attempt_unhandled ON chargegate.attempt (recorded_at, request_id) WHERE give_up <> 'discarded';

-- A discarded message keeps its row without its body, so that it stays counted once if the queue delivers it again.
ALTER TABLE chargegate.poison ADD COLUMN discarded_at bigint;

-- Returns the host of a callback URL.
CREATE FUNCTION chargegate.callback_host(url text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN substring(url FROM '^[^:]+://(\[[^\]]*\]|[^:/?#]*)');

REVOKE ALL ON FUNCTION chargegate.callback_host(text) FROM PUBLIC;
