-- Pauses of receiver hosts; one without an end is in force.
CREATE TABLE host_pause (
    host       TEXT    NOT NULL,
    paused_at  INTEGER NOT NULL,
    resumed_at INTEGER,
    PRIMARY KEY (host, paused_at)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX host_pause_open ON host_pause (host) WHERE resumed_at IS NULL;

-- Actions of operators. The batches of an action share one row.
CREATE TABLE operator_action (
    id         INTEGER PRIMARY KEY,
    action_id  TEXT    NOT NULL UNIQUE,
    started_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    operator   TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    selection  TEXT    NOT NULL,
    changed    INTEGER NOT NULL
) STRICT;

-- Dead letters that an operator discarded need no attention.
DROP INDEX callback_dead;
CREATE INDEX callback_dead ON callback (finished_at) WHERE state = 'dead' AND give_up <> 'discarded';
CREATE INDEX callback_discarded ON callback (finished_at) WHERE state = 'dead' AND give_up = 'discarded';
